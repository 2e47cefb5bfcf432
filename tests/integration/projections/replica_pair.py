"""A primary, its standby, and read models over both."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.postgres.connection.dsn import for_reading
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.read_model.projector import Projector
from adapters.postgres.read_model.read_models import PostgresReadModels
from adapters.postgres.read_model.replica import ReplicaReadModels, replica_pool
from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.event_store.demand_response import DemandResponse
from application.facility.portfolio_entries import BmsEntry, FacilityEntry, MeterEntry, ZoneEntry
from application.handlers import HANDLERS
from projections.facility import FacilitiesProjection
from projections.queries.views import ReadModelsUnavailable
from tests.postgres_pair import PostgresPair
from tests.sample_values import CONTEXT

PATIENCE_S = 60.0


class Pair:
    """A primary with facilities, and read models over its standby."""

    def __init__(self, pair: PostgresPair, stack: ExitStack) -> None:
        self.pair = pair
        self.clock = SystemClock()
        url = pair.primary.url("gridproof_app")
        self.store = PostgresEventStore(DemandResponse, url)
        stack.callback(self.store.close)
        self.pool: ConnectionPool[Any] = stack.enter_context(
            # Some tests kill the primary: the pool must not hand out its dead connections.
            ConnectionPool[Any](url, min_size=1, max_size=2, check=ConnectionPool.check_connection)
        )
        self.bus = CommandBus(self.store, self.clock, HANDLERS, forecasts=PostgresForecastBook(self.pool))
        replica = replica_pool(for_reading(pair.standby.url("gridproof_app")), size=2, connect_within_s=0.5)
        stack.callback(replica.close)
        self.primary = PostgresReadModels(self.pool)
        self.models = ReplicaReadModels(replica, self.primary)

    @property
    def standby_url(self) -> str:
        return for_reading(self.pair.standby.url("gridproof_app"))

    def register(self, facility_id: str) -> None:
        entry = FacilityEntry(
            facility_id=facility_id,
            meters=(MeterEntry(meter_id="main"),),
            zones=(ZoneEntry(zone_id="zone-1", curtailable_kw=100.0),),
            bms=BmsEntry(address="http://127.0.0.1:1/"),
            programs=(),
        )
        self.bus.handle(RegisterFacility(entry=entry), CONTEXT)
        Projector(
            FacilitiesProjection(),
            dsn=self.pair.primary.url("gridproof_app"),
            alerts=PostgresAlerts(self.pool),
            clock=self.clock,
        ).catch_up()

    def listed(self) -> list[str]:
        return [row.facility_id for row in self.models.facilities.listed().rows]

    def replay(self, *, paused: bool) -> None:
        with self.pair.standby.connect() as connection:
            connection.execute(f"SELECT pg_wal_replay_{'pause' if paused else 'resume'}()".encode())


@contextmanager
def killed(server: EmbeddedPostgres) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def read_from(pair: Pair, pool: ConnectionPool[Any], **options: Any) -> Iterator[ReplicaReadModels]:
    """Read models over another pool of the standby, after a first read from it."""
    models = ReplicaReadModels(pool, pair.primary, **options)
    try:
        until(
            lambda: bool(models.facilities.listed()) and models.source().name == "replica",
            "reads use the replica",
        )
        yield models
    finally:
        pool.close()


def looked_at(models: ReplicaReadModels) -> float | None:
    """Check the replica without a fallback; returns the age of its data."""
    models.check_replica(at_once=True)
    return models.age_s()


def receives(standby: EmbeddedPostgres) -> bool:
    with standby.connect() as connection:
        return connection.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone() != (0,)


def gone() -> Any:
    raise ReadModelsUnavailable("of the primary")


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
