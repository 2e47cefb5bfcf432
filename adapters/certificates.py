"""Certificates read from files and from TLS servers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from cryptography import x509

from application.ports.operations.certificates import CertificateEnd

CONNECT_S = 5.0
DEFAULT_PORTS = {"https": 443, "mqtts": 8883, "rediss": 6379, "smtps": 465}
"""The schemes whose servers begin with TLS. Of PostgreSQL, NATS and STARTTLS it is not read."""
log = structlog.get_logger(__name__)


class FileAndServerCertificates:
    """`files` and `urls` by the name of their setting; a list of addresses has commas. A URL of another scheme is
    passed over."""

    def __init__(self, files: Mapping[str, Path], urls: Mapping[str, str]) -> None:
        self._files = dict(files)
        self._urls = dict(urls)

    def ends(self) -> list[CertificateEnd]:
        return [*self._of_files(), *self._of_servers()]

    def _of_files(self) -> Iterator[CertificateEnd]:
        for name, file in self._files.items():
            try:
                found = x509.load_pem_x509_certificates(file.read_bytes())
            except (OSError, ValueError) as error:
                log.warning("certificate not read", file=str(file), why=str(error))
            else:
                yield CertificateEnd(name, min(one.not_valid_after_utc for one in found))

    def _of_servers(self) -> Iterator[CertificateEnd]:
        for name, url in [(name, url) for name, urls in self._urls.items() for url in urls.split(",")]:
            with suppress(ValueError):
                parts = urlsplit(url.strip())
                port = parts.port or DEFAULT_PORTS.get(parts.scheme)
                if parts.scheme not in DEFAULT_PORTS or parts.hostname is None or port is None:
                    continue
                server = f"{name} {parts.hostname}:{port}"
                try:
                    certificate = _certificate_of(parts.hostname, port)
                except OSError as error:
                    log.info("certificate not read", server=server, why=str(error))
                else:
                    yield CertificateEnd(server, certificate.not_valid_after_utc)


def _certificate_of(host: str, port: int) -> x509.Certificate:
    """As the server shows it. It is not verified: also one that has ended is to be read. Nothing is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=CONNECT_S) as connection,
        context.wrap_socket(connection, server_hostname=host) as encrypted,
    ):
        shown = encrypted.getpeercert(binary_form=True)
    if shown is None:
        raise ssl.SSLError("the server showed no certificate")
    return x509.load_der_x509_certificate(shown)
