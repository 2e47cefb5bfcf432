"""The API under test: uvicorn on a loopback port with the production bus and handlers and a real PostgreSQL."""

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import psycopg
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.forecasting.calendar.public_holidays import RegionalHolidays
from adapters.postgres.access.api_keys import PostgresApiKeys
from adapters.postgres.access.sessions import PostgresSessions
from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.log_listener import LogListener
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from adapters.postgres.forecast.past_forecasts import PostgresPastForecasts
from adapters.postgres.forecast.scores import PostgresForecastScores
from adapters.postgres.live_feed import CHANNEL, PostgresLiveLog
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from adapters.postgres.operations.system_state import PostgresSystemState
from adapters.postgres.read_model.projector import Projector
from adapters.postgres.read_model.read_models import PostgresReadModels
from adapters.postgres.read_model.waits import PostgresProjectionWaits
from adapters.postgres.settlement_documents import PostgresSettlementDocuments
from adapters.postgres.telemetry.meter_powers import PostgresMeterPowers
from adapters.postgres.telemetry.meter_readings import PostgresMeterReadings
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from adapters.redis.rate_limit import CachedRateLimiter
from application.access.api_keys import issue
from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.facility import RegisterFacility, StartMaintenance
from application.commands.program import AgreeProgram
from application.event_store.demand_response import DemandResponse
from application.facility.portfolio_entries import (
    BmsEntry,
    FacilityEntry,
    MeterEntry,
    ProgramEntry,
    ZoneEntry,
)
from application.handlers import HANDLERS
from application.ports.access.api_keys import Role
from application.telemetry.reading_gaps import GapSources
from domain.program import Hours, SettlementRule, WindowTerms
from domain.program.settlement_rule import Energy, KindOverride
from interfaces.bootstrap.ledger import StoredLedger
from interfaces.bootstrap.stores import Stores
from interfaces.readiness import ReadinessProbe
from interfaces.settings.settings import Settings
from interfaces.web.app import create_app
from interfaces.web.edge import ReadRates, WebDependencies
from interfaces.workers.web import server
from projections.registry import PROJECTIONS
from tests.patience import ANSWER_S, END_S, START_S
from tests.servers import Database

WEBHOOK = "/webhooks/utility/dr-notification"
SIGNING_SECRET = b"what the signing utility and we share"
FACILITIES = [f"fac-{number:03}" for number in range(1, 11)]
CALLERS: tuple[tuple[Role, str | None], ...] = (
    ("utility", "util-1"),
    ("utility", "util-2"),
    ("dashboard", None),
    ("operator", None),
    ("auditor", None),
    ("admin", None),
)
IN_MAINTENANCE = "fac-010"
ELSEWHERE = "fac-009"
CONTRACTED = "fac-008"
"""In two more programs of util-1: `weekday-peak`, for weekdays from 08:00 to 20:00 and settled by the prices of each
event, and `base-load`, without the level that its baseline needs."""
"""The facility that is enrolled only in the other utility's program."""
CLOCK = SystemClock()


@dataclass
class Door:
    """A running API. `util-1` does not sign its calls, `util-2` does.

    CALLERS have their API keys from the start: issuing one appends to the log, which would change what a test counts.
    """

    url: str
    database: Database
    bus: CommandBus
    store: PostgresEventStore
    pool: ConnectionPool[Any]
    api_keys: PostgresApiKeys
    stop: Callable[[], None]
    """Ends the web worker."""
    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def header(self, role: Role, utility_id: str | None = None) -> dict[str, str]:
        """The header with an API key of that role; a key of others than CALLERS is issued at first use."""
        name = f"{role} {utility_id}"
        if name not in self.keys:
            issued = issue(
                self.api_keys,
                role=role,
                utility_id=utility_id,
                at=CLOCK.now(),
                entropy=secrets.token_bytes(38),
            )
            self.keys[name] = {"Authorization": f"Bearer {issued.token}"}
        return self.keys[name]

    def key(self, role: Role) -> str:
        """The key as a person enters it."""
        return self.header(role)["Authorization"].removeprefix("Bearer ")

    def post(self, body: Any, *, utility_id: str = "util-1", **options: Any) -> httpx.Response:
        headers = {**self.header("utility", utility_id), **options.pop("headers", {})}
        return httpx.post(self.url + WEBHOOK, json=body, headers=headers, timeout=ANSWER_S, **options)

    def change(
        self, method: str, event_id: str, body: Any = None, *, utility_id: str = "util-1", query: str = ""
    ) -> httpx.Response:
        """PATCH or DELETE a utility's DR event."""
        url = f"{self.url}{WEBHOOK}/{event_id}{query}"
        return httpx.request(
            method, url, json=body, headers=self.header("utility", utility_id), timeout=ANSWER_S
        )

    def order(self, path: str, body: Any) -> httpx.Response:
        """POST as an operator."""
        return httpx.post(self.url + path, json=body, headers=self.header("operator"), timeout=ANSWER_S)

    def get(self, path: str, role: Role, utility_id: str | None = None) -> httpx.Response:
        return httpx.get(self.url + path, headers=self.header(role, utility_id), timeout=ANSWER_S)

    def stored(self) -> tuple[int, int]:
        """The number of domain events and of idempotency keys."""
        with psycopg.connect(self.database.admin_dsn) as connection:
            events = connection.execute("SELECT count(*) FROM gridproof.demand_response_events").fetchone()
            keys = connection.execute("SELECT count(*) FROM gridproof.idempotency_keys").fetchone()
        assert events is not None
        assert keys is not None
        return int(events[0]), int(keys[0])

    def topics(self, dr_event_id: str) -> list[str]:
        """The topics of a DR event's domain events, in order."""
        with psycopg.connect(self.database.admin_dsn) as connection:
            rows = connection.execute(
                "SELECT topic FROM gridproof.demand_response_events WHERE originator_id = %s "
                "ORDER BY originator_version",
                (dr_event_id,),
            ).fetchall()
        return [str(row[0]) for row in rows]

    def project(self, *names: str) -> None:
        """Bring every read model, or those of these names, up to the log's end."""
        for projection in (one for one in PROJECTIONS if not names or one.name in names):
            Projector(
                projection,
                dsn=self.database.app_dsn,
                alerts=PostgresAlerts(self.pool),
                clock=CLOCK,
            ).catch_up()


def day(number: int, *, hour: int = 12) -> datetime:
    """An hour of the day `number` days from now."""
    midnight = CLOCK.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=number, hours=hour)


def notification(**changes: Any) -> dict[str, Any]:
    """A feasible notification with unique ids and some fields changed; None omits a field."""
    starts_at = changes.pop("starts_at", day(2))
    ends_at = changes.pop("ends_at", starts_at and starts_at + timedelta(hours=2))
    body = {
        "notification_id": f"n-{uuid4()}",
        "event_id": f"E-{uuid4()}",
        "program": "summer-peak",
        "starts_at": starts_at and starts_at.isoformat(),
        "ends_at": ends_at and ends_at.isoformat(),
        "target_reduction_kw": 100,
        "facility_ids": ["fac-001", "fac-002"],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


@contextmanager
def running_door(
    database: Database,
    *,
    rate_per_s: float = 100_000,
    redis_url: str | None = None,
    data_dir: Path | None = None,
    queue_depth: int = 100,
    stream_clients: int = 1_200,
    stream_clients_per_key: int | None = None,
    read_rates: ReadRates | None = None,
) -> Iterator[Door]:
    """`data_dir`: the folder with the ledger's key."""
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    # As in production: a connection that died with its server is replaced instead of being handed out.
    with PostgresPool(database.app_dsn, min_size=2, max_size=8, timeout=10) as pool:
        bus = CommandBus(
            store,
            CLOCK,
            HANDLERS,
            forecasts=PostgresForecastBook(pool),
            settlements=PostgresSettlementDocuments(pool),
        )
        stores: Any = SimpleNamespace(events=store)
        stores.program = partial(Stores.program, stores)
        _fill(bus)
        api_keys = PostgresApiKeys(pool)
        dependencies = WebDependencies(
            bus=bus,
            read_models=PostgresReadModels(pool),
            stream_log=PostgresStreamLog(pool),
            api_keys=api_keys,
            sessions=PostgresSessions(pool),
            rate_limiter=CachedRateLimiter(rate_per_s, redis_url=redis_url, namespace=str(uuid4())),
            alerts=PostgresAlerts(pool),
            dead_letters=PostgresDeadLetters(pool),
            telemetry=PostgresTelemetryStore(pool, CLOCK),
            rollups=PostgresTelemetryRollups(pool, CLOCK),
            meter_powers=PostgresMeterPowers(pool),
            gap_sources=GapSources(PostgresMeterReadings(pool), CLOCK, timedelta(days=90)),
            past_forecasts=PostgresPastForecasts(pool),
            forecast_scores=PostgresForecastScores(pool),
            settlements=PostgresSettlementDocuments(pool),
            public_holidays=RegionalHolidays(),
            ledger=_ledger(pool, data_dir),
            live_log=PostgresLiveLog.at(database.app_dsn),
            live_signal=LogListener(database.app_dsn, CHANNEL),
            clock=CLOCK,
            decision_clock=CLOCK,
            webhook_secret={"util-2": SIGNING_SECRET}.get,
            queue_depth=queue_depth,
            stream_clients=stream_clients,
            stream_clients_per_key=stream_clients_per_key,
            read_rates=read_rates or ReadRates(),
            known_programs=partial(Stores.existing_programs, stores),
            program=stores.program,
            system_state=PostgresSystemState(pool),
            waits=PostgresProjectionWaits(database.app_dsn),
            probes=(ReadinessProbe(name="postgresql", needed=True, check=_probe(database)),),
        )
        with _serving(dependencies) as (url, stop):
            door = Door(url, database, bus, store, pool, api_keys, stop)
            for role, utility_id in CALLERS:
                door.header(role, utility_id)
            yield door
    store.close()


def _ledger(pool: ConnectionPool[Any], data_dir: Path | None) -> StoredLedger:
    """The ledger over these stores, wired as in a web worker."""
    stores = SimpleNamespace(
        settings=Settings(data_dir=data_dir or Path("/nonexistent")),
        pool=pool,
        clock=CLOCK,
        stream_log=lambda: PostgresStreamLog(pool),
        settlement_documents=lambda: PostgresSettlementDocuments(pool),
        alerts=lambda: PostgresAlerts(pool),
    )
    return StoredLedger(cast("Stores", stores))


def _probe(database: Database) -> Any:
    def ask() -> None:
        with psycopg.connect(database.app_dsn, connect_timeout=1) as connection:
            connection.execute("SELECT 1")

    return lambda: asyncio.to_thread(ask)


@contextmanager
def _serving(dependencies: WebDependencies) -> Iterator[tuple[str, Callable[[], None]]]:
    """Run the web worker in a separate thread."""
    listener = server.listening("127.0.0.1", 0)
    ready, failure = threading.Event(), list[BaseException]()
    told: dict[str, Any] = {}

    async def serve() -> None:
        told["stop"], told["loop"] = asyncio.Event(), asyncio.get_running_loop()

        def started(url: str) -> None:
            told["url"] = url
            ready.set()

        await server.run(
            create_app(dependencies),
            listener=listener,
            stop=told["stop"],
            started=started,
            end_streams=dependencies.live.end,
        )

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failure.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=run, name="door")
    thread.start()
    assert ready.wait(START_S)
    if failure:
        raise failure[0]

    def stop() -> None:
        if thread.is_alive():
            told["loop"].call_soon_threadsafe(told["stop"].set)

    try:
        yield cast("str", told["url"]), stop
    finally:
        stop()
        thread.join(END_S)
        assert not thread.is_alive()


def _fill(bus: CommandBus) -> None:
    """Register two utilities with a program each, and ten facilities of 100 kW."""
    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="operator:test", tenant=None, trace_id=uuid4().hex
    )
    for program_id, utility_id in (("summer-peak", "util-1"), ("winter-peak", "util-2")):
        entry = ProgramEntry(program_id=program_id, utility_id=utility_id, minimum_duration_s=1_800)
        bus.handle(AgreeProgram(entry=entry), context)
    weekdays = ProgramEntry(
        program_id="weekday-peak",
        utility_id="util-1",
        baseline_method="high-5-of-10",
        maximum_lead_s=30 * 86_400,
        window=WindowTerms(hours=Hours(from_="08:00", to="20:00")),
        settlement=SettlementRule(
            currency="USD", energy=Energy(price="event"), kinds={"test": KindOverride(energy=None)}
        ),
    )
    level = ProgramEntry(program_id="base-load", utility_id="util-1", baseline_method="firm-service-level")
    for entry in (weekdays, level):
        bus.handle(AgreeProgram(entry=entry), context)
    for facility_id in FACILITIES:
        bus.handle(RegisterFacility(entry=_facility(facility_id)), context)
    bus.handle(StartMaintenance(facility_id=IN_MAINTENANCE, reason="roof works"), context)


def _facility(facility_id: str) -> FacilityEntry:
    programs: tuple[str, ...] = (
        ("winter-peak",) if facility_id == ELSEWHERE else ("summer-peak", "winter-peak")
    )
    if facility_id == CONTRACTED:
        programs += ("weekday-peak", "base-load")
    return FacilityEntry(
        facility_id=facility_id,
        meters=(MeterEntry(meter_id=f"{facility_id}-m1"),),
        zones=(ZoneEntry(zone_id="zone-1", curtailable_kw=100.0),),
        bms=BmsEntry(address="http://127.0.0.1:1/"),
        programs=programs,
        dr_events_per_season=1_000,
    )


def utc_now() -> datetime:
    return CLOCK.now().astimezone(UTC)
