"""Certificates of real TLS servers and of files: when they end, and the alert before."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.certificates import FileAndServerCertificates
from adapters.clock import SystemClock
from interfaces.workers.loops.process_monitor import CertificateMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.tls_certificates import Authority

DAY = timedelta(days=1)


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
    thread.join(30)


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


def test_the_end_is_read_from_files_and_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    files = {"mqtt_ca_file": authority.file, "a": nonsense, "b": tmp_path / "missing.pem"}
    urls = {"weather_url": "https://127.0.0.1:9/", "influx_url": "https://[bad"}
    [found] = FileAndServerCertificates(files, urls).ends()
    assert found.name == "mqtt_ca_file"
    assert days_left(found.ends_at) == pytest.approx(1, abs=0.1)


def test_a_certificate_that_ends_soon_is_an_alert_until_it_is_renewed(tmp_path: Path) -> None:
    authority, alerts = Authority(tmp_path), FakeAlertRegistry()
    file = authority.server(valid_for=13 * DAY).certificate
    monitor = CertificateMonitor(
        FileAndServerCertificates({"mqtt_cert_file": file}, {}), alerts, FakeClock(), SystemClock()
    )
    asyncio.run(monitor.check())
    [alert] = alerts.listed()
    assert (alert.name, alert.subject) == ("certificate_expiring", "mqtt_cert_file")
    assert "in 12 days" in alert.detail
    authority.server(valid_for=90 * DAY)
    asyncio.run(monitor.check())
    assert alerts.listed() == []
