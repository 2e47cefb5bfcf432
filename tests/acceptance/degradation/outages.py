"""A small system of real servers and processes that are killed in turn while callers send requests."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from adapters.clock import AcceleratedClock
from adapters.embedded.loopback import HOST, free_port
from adapters.postgres.access.api_keys import PostgresApiKeys
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.access.api_keys import issue
from application.event_store.forecasts import Forecasts
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.telemetry.store import TelemetryStore, TelemetryStoreUnavailable
from domain.forecast import cycle_start_of
from domain.telemetry.meter_reading import MeterReading
from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from interfaces.web.authentication.session_cookie import COOKIE
from tests.acceptance.cli.terminal import PORTFOLIO, Terminal
from tests.acceptance.degradation.answers import Answer
from tests.acceptance.degradation.callers import AGAIN_S, Callers, RepeatedRequest, StreamSubscriber
from tests.acceptance.degradation.degradation_table import COLUMNS
from tests.acceptance.forked_commands import ForkedCommand
from tests.patience import ANSWER_S, END_S
from tests.sample_values import forecast
from tests.servers import Database

SPEED = 60.0
"""A reading is old after 2 s on the wall."""
PATIENCE_S = 240.0
FACILITIES = ("fac-001", "fac-002", "fac-003")
WEBHOOK = "/webhooks/utility/dr-notification"
METERS_EVERY_S = 0.2


class Dependency(Protocol):
    """A process that can be killed with -9 and started again."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


@dataclass
class System:
    """A running system. `dependencies` by the names of the rows."""

    database: Database
    urls: Sequence[str]
    processes: Sequence[ForkedCommand]
    """Ended processes are restarted, as a supervisor does."""
    dependencies: Mapping[str, Dependency]
    clock: AcceleratedClock
    away: Dependency | None = None
    _looked_at: float = 0.0

    def revive(self) -> None:
        """Restart ended processes, at most once a second."""
        if time.monotonic() - self._looked_at < 1.0:
            return
        self._looked_at = time.monotonic()
        for process in self.processes:
            if process is not self.away and process.has_ended:
                process.start()

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(0.1)

    def positions_after(self, position: int) -> list[int]:
        """The positions of the log after `position`."""
        with psycopg.connect(self.database.admin_dsn) as connection:
            rows = connection.execute(
                "SELECT notification_id FROM gridproof.demand_response_events WHERE notification_id > %s "
                "ORDER BY notification_id",
                (position,),
            )
            return [int(row[0]) for row in rows]


def fast_clock(speed: float = SPEED) -> AcceleratedClock:
    """A fast clock that starts now."""
    now = datetime.now(UTC)
    return AcceleratedClock(now, now, speed)


def environ_of(terminal: Terminal, clock: AcceleratedClock, **settings: str) -> dict[str, str]:
    """The environment of every process, with high rate limits."""
    return {
        **terminal.environ,
        "GRIDPROOF_CLOCK_EPOCH": clock.epoch.isoformat(),
        "GRIDPROOF_CLOCK_STARTED_AT": clock.started_at.isoformat(),
        "GRIDPROOF_CLOCK_SPEED": str(clock.speed),
        "GRIDPROOF_HTTP_CURRENT_PER_KEY_PER_S": "1000",
        "GRIDPROOF_HTTP_RATE_PER_KEY_PER_S": "1000",
        "GRIDPROOF_QUEUE_DEPTH": "1000",
        "GRIDPROOF_TELEMETRY_ARCHIVE": "false",
        **settings,
    }


def portfolio() -> dict[str, Any]:
    """A portfolio whose facilities accept any number of DR events."""
    found = deepcopy(PORTFOLIO)
    for facility in found["facilities"]:
        facility["dr_events_per_season"] = 10_000
    return found


def serving(
    stack: ExitStack, environ: Mapping[str, str], folder: Path, name: str
) -> tuple[str, ForkedCommand]:
    """Start `gridproof serve` on its own address. It may not be ready yet."""
    bind = f"{HOST}:{free_port()}"
    process = ForkedCommand(["serve"], {**environ, "GRIDPROOF_HTTP_BIND": bind}, folder / f"{name}.log")
    stack.callback(process.kill)
    process.start()
    return f"http://{bind}", process


def working(stack: ExitStack, environ: Mapping[str, str], folder: Path, name: str) -> ForkedCommand:
    process = ForkedCommand(["worker", name], environ, folder / f"{name}.log")
    stack.callback(process.kill)
    process.start()
    return process


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=ANSWER_S).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def foreseeing(database: Database, clock: AcceleratedClock) -> Iterator[None]:
    """Replaces `worker compute`, which needs a history: issues forecasts every quarter-hour."""
    events = PostgresEventStore(Forecasts, database.app_dsn)
    ended, foreseen = threading.Event(), set[datetime]()

    def issue() -> None:
        cycle = cycle_start_of(clock.now())
        if cycle in foreseen:
            return
        with contextlib.suppress(EventStoreUnavailable):  # tried again
            events.save([forecast(one, at=cycle) for one in FACILITIES])
            foreseen.add(cycle)

    def run() -> None:
        while not ended.wait(0.5):
            issue()

    issue()
    thread = threading.Thread(target=run, name="forecasts")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(END_S)
        events.close()


@contextmanager
def metering(mqtt_url: str, clock: AcceleratedClock) -> Iterator[None]:
    """Simulates a meter per facility that sends constantly and queues while the broker is down."""
    ended = threading.Event()

    async def send() -> None:
        outbox = MqttOutbox(mqtt_url, "meters-of-the-test", capacity=30)
        delivering = asyncio.create_task(outbox.run())
        for seq in itertools.count(1):
            if ended.is_set():
                break
            reading = {"schema": 1, "ts": clock.now(), "seq": seq, "kw": 40.0, "kwh_total": float(seq)}
            for one in FACILITIES:
                outbox.put(f"meters/{one}/main/readings", msgspec.json.encode(reading))
            await asyncio.sleep(METERS_EVERY_S)
        delivering.cancel()
        await asyncio.wait({delivering})

    thread = threading.Thread(target=lambda: asyncio.run(send()), name="meters")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(END_S)


@contextmanager
def feeding(store: TelemetryStore, clock: AcceleratedClock) -> Iterator[None]:
    """Replaces meters, ingest and aggregate: writes readings to the store constantly."""
    ended, seq = threading.Event(), itertools.count(1)

    def write() -> None:
        readings = [MeterReading(one, "main", clock.now(), 40.0, None) for one in FACILITIES]
        with contextlib.suppress(TelemetryStoreUnavailable):  # the next ones are newer
            store.write_readings(0, next(seq), readings)

    def run() -> None:
        while not ended.wait(METERS_EVERY_S):
            write()

    write()
    thread = threading.Thread(target=run, name="readings")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(END_S)


def header(database: Database, role: Any, utility_id: str | None = None) -> dict[str, str]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        issued = issue(
            PostgresApiKeys(pool),
            role=role,
            utility_id=utility_id,
            at=datetime.now(UTC),
            entropy=secrets.token_bytes(38),
        )
    return {"Authorization": f"Bearer {issued.token}"}


def notifications(run: str = "") -> Callable[[], dict[str, Any]]:
    """A function that returns the next notification, each for a new pair of day and facility."""
    numbers = itertools.count()
    first = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2)

    def following() -> dict[str, Any]:
        number = next(numbers)
        starts_at = first + timedelta(days=number // len(FACILITIES))
        return {
            "notification_id": f"n-{run}{number}",
            "event_id": f"E-{run}{number}",
            "program": "summer-peak",
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + timedelta(hours=2)).isoformat(),
            "target_reduction_kw": 20,
            "facility_ids": [FACILITIES[number % len(FACILITIES)]],
        }

    return following


def callers_of(system: System) -> Callers:
    """Callers of every route of the table, with all permissions, a session and an existing DR event."""
    url, everything = system.urls[0], header(system.database, "admin")
    utility = header(system.database, "utility", "city-power")
    body = notifications()
    posted = httpx.post(url + WEBHOOK, json=body(), headers=utility, timeout=PATIENCE_S)
    assert posted.status_code == 202, posted.text
    signed_in = httpx.post(f"{url}/api/session", headers=everything, timeout=PATIENCE_S)
    assert signed_in.status_code == 201, signed_in.text
    ids = {"dr_event_id": posted.json()["dr_event_id"], "facility_id": FACILITIES[0]}
    first = system.clock.epoch.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    window = f"?from={first:%Y-%m-%dT%H:%M:%SZ}&to={first + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    requests = []
    for column, routes in COLUMNS.items():
        for method, _, path in (route.partition(" ") for route in routes):
            if column == "stream":
                continue
            if column == "posts":
                requests.append(
                    RepeatedRequest(column, method, path, utility, again_s=3 * AGAIN_S, body=body)
                )
                continue
            cookie = {"Cookie": f"{COOKIE}={signed_in.cookies[COOKIE]}"}
            headers = cookie if column == "signed in" else everything
            query = window if column == "history" else ""
            requests.append(RepeatedRequest(column, method, path.format(**ids) + query, headers))
    return Callers(system.urls, requests, StreamSubscriber(everything))


def shown(answers_: Sequence[Answer]) -> str:
    """The last responses as text, for failure messages."""
    return "\n".join(f"{one.got_at - one.sent_at:.2f} s {one.word}" for one in answers_[-8:])
