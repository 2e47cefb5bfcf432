"""The watch worker tells people of alerts: a signed call and a mail, then somebody else, then the end."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from adapters.postgres.operations.alert_deliveries import PostgresAlertDeliveries
from application.operations.alert_decisions import decide_alert
from application.ports.operations.alert_delivery import Delivery
from interfaces.bootstrap import open_stores
from interfaces.bootstrap.health import alerts as wiring
from interfaces.bootstrap.operations import locks_of
from interfaces.bootstrap.stores import Stores
from interfaces.settings.settings import read_settings
from tests.mail_server import PASSWORD, MailServer, mail_server
from tests.open_alerts import begin_alert, end_alert
from tests.patience import END_S
from tests.servers import Database
from tests.tls_certificates import Authority
from tests.webhook_signature import sign_v1

SECRET = "hook-secret"
WITHIN_S = 60.0


@dataclass
class Hook:
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    unsigned: list[bytes] = field(default_factory=list)


@contextmanager
def hook_server() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            given = self.headers["X-Signature"]
            stamp = int(given.partition(",")[0].removeprefix("t="))
            if given == sign_v1(SECRET.encode(), body, at=_Moment(stamp)):  # type: ignore[arg-type]
                hook.bodies.append(json.loads(body))
            else:
                hook.unsigned.append(body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}/alerts"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield hook
        server.shutdown()
        thread.join(END_S)


@dataclass(frozen=True)
class _Moment:
    stamp: int

    def timestamp(self) -> float:
        return float(self.stamp)


@dataclass
class World:
    stores: Stores
    hook: Hook
    mail: MailServer

    def raise_alert(self) -> None:
        now = self.stores.clock.now()
        begin_alert(self.stores.alerts(), "relay_stopped", "relay", "at position 9", at=now)

    def kinds(self) -> list[str]:
        return [body["kind"] for body in self.hook.bodies]

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]).strip() for mail in self.mail.mails]

    def recorded(self, channel: str) -> list[Delivery]:
        """The recorded deliveries."""
        since = self.stores.clock.now().replace(year=2020)
        return list(PostgresAlertDeliveries(self.stores.pool).of_channel(channel, since=since).values())


@pytest.fixture
def made(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., World]]:
    monkeypatch.setattr(wiring, "EVERY_S", 0.05)
    monkeypatch.setenv("ALERT_SECRET", SECRET)
    monkeypatch.setenv("ALERT_MAIL", PASSWORD)
    authority = Authority(tmp_path)
    opened: list[Stores] = []

    with hook_server() as hook, mail_server(starttls=authority.server().context()) as mail:

        def make(**changes: str) -> World:
            environ = {
                "GRIDPROOF_DATABASE_URL": database.app_dsn,
                "GRIDPROOF_DATA_DIR": str(tmp_path / "data"),
                "GRIDPROOF_ALERT_WEBHOOK_URL": hook.url,
                "GRIDPROOF_ALERT_WEBHOOK_SECRET": "env:ALERT_SECRET",
                "GRIDPROOF_ALERT_SMTP_URL": mail.url("smtp"),
                "GRIDPROOF_ALERT_SMTP_PASSWORD": "env:ALERT_MAIL",
                "GRIDPROOF_ALERT_SMTP_CA_FILE": str(authority.file),
                "GRIDPROOF_ALERT_EMAIL_FROM": "gridproof@example.org",
                "GRIDPROOF_ALERT_EMAIL_TO": "ops@example.org",
                "GRIDPROOF_ALERT_ESCALATION_EMAIL_TO": "head@example.org",
                "GRIDPROOF_ALERT_ESCALATE_AFTER_S": "1",
                "GRIDPROOF_ALLOW_PRIVATE_CALLBACKS": "true",
            }
            stores = open_stores(read_settings(environ | changes), pool_size=4)
            opened.append(stores)
            return World(stores, hook, mail)

        yield make
        for stores in opened:
            stores.close()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.02)


def test_an_alert_reaches_people_is_escalated_and_its_end_follows(made: Callable[..., World]) -> None:
    world = made()

    async def scenario() -> None:
        async with wiring.delivering_alerts(world.stores, locks_of(world.stores), asyncio.Event()):
            await asyncio.to_thread(world.raise_alert)
            await until(lambda: "raised" in world.kinds())
            await until(lambda: ["head@example.org"] in world.mail.recipients)
            alerts = world.stores.alerts()
            await asyncio.to_thread(end_alert, alerts, "relay_stopped", "relay", at=world.stores.clock.now())
            await until(lambda: len(world.mail.mails) == 4 and len(world.hook.bodies) == 2)
            await until(lambda: len(world.recorded("escalation email")) == 2)  # recorded after it was sent

    asyncio.run(scenario())
    assert (world.kinds(), world.hook.unsigned) == (["raised", "ended"], [])
    [alert] = world.hook.bodies[0]["alerts"]
    assert (alert["name"], alert["subject"], alert["severity"]) == ("relay_stopped", "relay", "page")
    assert sorted(world.subjects()) == [
        "[gridproof] page ended: relay_stopped: relay",
        "[gridproof] page ended: relay_stopped: relay",
        "[gridproof] page raised, and nobody has acknowledged it: relay_stopped: relay",
        "[gridproof] page raised: relay_stopped: relay",
    ]
    deliveries = world.recorded("escalation email")
    assert sorted((one.kind, one.failure) for one in deliveries) == [("ended", None), ("escalated", None)]


def test_an_acknowledged_alert_is_not_escalated_and_one_of_two_processes_delivers(
    made: Callable[..., World],
) -> None:
    first, second = made(), made()

    def acknowledge() -> None:
        [alert] = first.stores.alerts().listed()
        decide_alert(
            first.stores.alerts(),
            alert.alert_id,
            "acknowledged",
            by="operator:1",
            reason="I look",
            at=first.stores.clock.now(),
        )

    async def scenario() -> None:
        stop = asyncio.Event()
        async with (
            wiring.delivering_alerts(first.stores, locks_of(first.stores), stop),
            wiring.delivering_alerts(second.stores, locks_of(second.stores), stop),
        ):
            await asyncio.to_thread(first.raise_alert)
            await asyncio.to_thread(acknowledge)
            alerts, now = first.stores.alerts(), first.stores.clock.now()
            await asyncio.to_thread(begin_alert, alerts, "disk_filling", "host", "x", at=now)
            await until(lambda: ["head@example.org"] in first.mail.recipients)

    asyncio.run(scenario())
    escalated = [body for body in first.subjects() if "nobody has acknowledged" in body]
    assert escalated == ["[gridproof] critical raised, and nobody has acknowledged it: disk_filling: host"]
    assert first.kinds().count("raised") <= 2


def test_no_private_address_is_called_unless_it_is_allowed(made: Callable[..., World]) -> None:
    world = made(GRIDPROOF_ALLOW_PRIVATE_CALLBACKS="false", GRIDPROOF_CALLBACK_PORTS="443")

    async def scenario() -> None:
        async with wiring.delivering_alerts(world.stores, locks_of(world.stores), asyncio.Event()):
            await asyncio.to_thread(world.raise_alert)
            await until(lambda: bool(world.mail.mails) and bool(world.recorded("webhook")))

    asyncio.run(scenario())
    assert (world.hook.bodies, world.hook.unsigned) == ([], [])
    [tried] = world.recorded("webhook")
    assert (tried.delivered_at, "port" in str(tried.failure)) == (None, True)


def test_without_a_channel_nothing_runs(database: Database, tmp_path: Path) -> None:
    environ = {"GRIDPROOF_DATABASE_URL": database.app_dsn, "GRIDPROOF_DATA_DIR": str(tmp_path)}
    with closing(open_stores(read_settings(environ), pool_size=1)) as stores:
        assert wiring.alert_routes(stores) == []
