"""Certificates of real TLS servers and of files: when they end, and the alert before."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname

import pytest
import structlog

from adapters.certificates import FileAndServerCertificates, client_files
from adapters.clock import SystemClock
from adapters.embedded import EmbeddedServers, binaries
from application.ports.operations.certificates import CertificateEnd
from interfaces.bootstrap.health.process import certificates_of
from interfaces.settings.settings import Settings
from interfaces.workers.loops.process_monitor import CertificateMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.patience import END_S
from tests.servers import PostgresServer
from tests.tls_certificates import Authority

DAY = timedelta(days=1)
WITHIN_S = 60.0


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[int]:
    """A server that makes TLS handshakes; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(END_S)


def days_left(ends_at: datetime) -> float:
    return (ends_at - datetime.now(UTC)) / DAY


@pytest.mark.parametrize("valid_for", [90 * DAY, -DAY])
def test_the_end_is_read_from_servers_also_of_one_that_has_ended(
    tmp_path: Path, valid_for: timedelta
) -> None:
    files = Authority(tmp_path).server(valid_for=valid_for)
    with tls_server(files.context()) as port:
        urls = {"mqtt_url": f"mqtts://user:secret@127.0.0.1:{port}", "redis_url": "redis://127.0.0.1:1"}
        [found] = FileAndServerCertificates({}, urls).ends()
    assert found.name == f"mqtt_url 127.0.0.1:{port}"
    assert days_left(found.ends_at) == pytest.approx(valid_for / DAY, abs=0.1)


def test_the_end_is_read_from_each_server_of_a_list(tmp_path: Path) -> None:
    context = Authority(tmp_path).server(valid_for=DAY).context()
    with tls_server(context) as first, tls_server(context) as second:
        urls = {"mqtt_url": f"mqtts://u:secret@127.0.0.1:{first}, mqtts://u:secret@127.0.0.1:{second}"}
        found = FileAndServerCertificates({}, urls).ends()
    assert [one.name for one in found] == [f"mqtt_url 127.0.0.1:{port}" for port in (first, second)]


SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@contextmanager
def upgrading_server(context: ssl.SSLContext) -> Iterator[tuple[int, list[bytes]]]:
    """A server that begins TLS as PostgreSQL does (the embedded one is built without it); yields its port, and what it
    got before TLS."""
    listener, got = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), connection:
                    got.append(connection.recv(8, socket.MSG_WAITALL))
                    connection.sendall(b"S")
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], got
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(END_S)


def test_the_end_is_read_from_each_host_of_postgresql_after_an_ssl_request(tmp_path: Path) -> None:
    context = Authority(tmp_path).server(valid_for=7 * DAY).context()
    with upgrading_server(context) as (first, got), upgrading_server(context) as (second, _):
        url = f"postgresql://app:secret@127.0.0.1:{first},127.0.0.1:{second}/gridproof"
        found = FileAndServerCertificates({}, {"database_url": url}).ends()
        keywords = f"host=127.0.0.1 port={first} user=app password=secret"
        same = FileAndServerCertificates({}, {"database_url": keywords}).ends()
        without = FileAndServerCertificates({}, {"database_url": f"{url}?sslmode=disable"}).ends()
    assert [one.name for one in found] == [f"database_url 127.0.0.1:{port}" for port in (first, second)]
    assert days_left(found[0].ends_at) == pytest.approx(7, abs=0.1)
    assert (same, without) == (found[:1], [])
    assert got == [SSL_REQUEST] * 2, "no login is sent"


def test_a_postgresql_without_tls_is_passed_over(postgres_server: PostgresServer) -> None:
    with structlog.testing.capture_logs() as logs:
        assert FileAndServerCertificates({}, {"database_url": postgres_server.admin_dsn}).ends() == []
    assert logs == [], "it answered"


def test_the_end_is_read_from_nats_that_speaks_tls(tmp_path: Path, nats_server: EmbeddedServers) -> None:
    files = Authority(tmp_path).server(valid_for=7 * DAY)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["-a", "127.0.0.1", "-p", str(port), "--tls"]
    arguments += ["--tlscert", str(files.certificate), "--tlskey", str(files.key)]
    program = binaries.nats_server()
    with subprocess.Popen([program, *arguments], stderr=subprocess.DEVNULL) as server:
        try:
            urls = {"nats_url": f"nats://user:secret@127.0.0.1:{port}"}
            found = wait_for_certificates(lambda: FileAndServerCertificates({}, urls).ends())
        finally:
            server.kill()
    assert [one.name for one in found] == [f"nats_url 127.0.0.1:{port}"]
    assert days_left(found[0].ends_at) == pytest.approx(7, abs=0.1)
    assert FileAndServerCertificates({}, {"nats_url": nats_server.nats_url}).ends() == [], "it speaks no TLS"


def wait_for_certificates(read: Callable[[], list[CertificateEnd]]) -> list[CertificateEnd]:
    deadline = time.monotonic() + WITHIN_S
    while not (found := read()):
        assert time.monotonic() < deadline, "no certificate was read in time"
        time.sleep(0.05)
    return found


def test_the_end_is_read_from_files_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    files = {"mqtt_ca_file": authority.file, "a": nonsense, "b": tmp_path / "missing.pem"}
    urls = {"weather_url": "https://127.0.0.1:9/", "influx_url": "https://[bad"}
    [found] = FileAndServerCertificates(files, urls).ends()
    assert found.name == "mqtt_ca_file"
    assert days_left(found.ends_at) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("url", "parameter"),
    [
        ("postgresql://app@/gridproof?host=/run&sslcert=FILE&sslkey=k", "sslcert"),
        ("host=/run user=app sslcert=FILE", "sslcert"),
        ("tls://127.0.0.1:9?cert_file=FILE&key_file=k,tls://127.0.0.1:10", "cert_file"),
        ("rediss://127.0.0.1:9/0?ssl_certfile=FILE", "ssl_certfile"),
    ],
)
def test_the_end_of_a_client_certificate_in_an_address_is_read(
    url: str, parameter: str, tmp_path: Path
) -> None:
    file = Authority(tmp_path).client("app").certificate
    files = client_files("the_url", url.replace("FILE", str(file)))
    assert files == {f"the_url {parameter}": file}
    [found] = FileAndServerCertificates(files, {}).ends()
    assert days_left(found.ends_at) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "url", ["", "postgresql://app@/gridproof?sslcert=", "tls://127.0.0.1:9", "no address"]
)
def test_an_address_without_a_client_certificate_names_none(url: str) -> None:
    assert client_files("the_url", url) == {}


def test_every_worker_reads_the_client_certificates_of_its_host(tmp_path: Path) -> None:
    file = Authority(tmp_path).client("app").certificate
    settings = Settings(database_url=f"postgresql://app@/gridproof?host=/run&sslcert={file}")
    for worker in ("dispatch", "web", None):
        [found] = certificates_of(settings, worker).ends()
        assert found.name == f"database_url sslcert on {gethostname()}"


def test_a_certificate_that_ends_soon_is_an_alert_until_it_is_renewed(tmp_path: Path) -> None:
    authority, alerts = Authority(tmp_path), FakeAlertRegistry()
    file = authority.server(valid_for=13 * DAY).certificate
    monitor = CertificateMonitor(
        FileAndServerCertificates({"mqtt_cert_file": file}, {}), alerts, FakeClock(), SystemClock()
    )
    monitor.check()
    [alert] = alerts.listed()
    assert (alert.name, alert.subject) == ("certificate_expiring", "mqtt_cert_file")
    assert "in 12 days" in alert.detail
    authority.server(valid_for=90 * DAY)
    monitor.check()
    assert alerts.listed() == []
