"""A Mosquitto for one test, and its certificates."""

import datetime as dt
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOCAL = "127.0.0.1"


class Mosquitto:
    """Any client may connect, unless `settings` say otherwise."""

    def __init__(self, program: Path, folder: Path, *settings: str) -> None:
        with socket.socket() as probe:
            probe.bind((LOCAL, 0))
            self.port: int = probe.getsockname()[1]
        self._program = program
        self._file = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        lines = settings or ("allow_anonymous true",)
        self._file.write_text(
            "\n".join(
                ("per_listener_settings false", f"listener {self.port} {LOCAL}", "user root", *lines, "")
            )
        )
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens. A restart uses the same port and has no earlier state."""
        with self._log.open("ab") as log:
            self._server = subprocess.Popen([self._program, "-c", self._file], stderr=log, stdout=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((LOCAL, self.port)) == 0:
                    return
            assert self._server.poll() is None, self._log.read_text()
            time.sleep(0.05)
        raise AssertionError("mosquitto did not start")

    def kill(self) -> None:
        """kill -9."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(10)


@contextmanager
def mosquitto(program: Path, folder: Path, *settings: str) -> Iterator[int]:
    """Run a Mosquitto; yields its port."""
    server = Mosquitto(program, folder, *settings)
    try:
        server.start()
        yield server.port
    finally:
        server.kill()


class Authority:
    """A certificate authority whose certificates are valid for an hour."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    def issue(self, name: str, *, host: str | None = None) -> tuple[Path, Path]:
        """(certificate file, key file) of `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        if host is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        cert_file, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert_file, key_file
