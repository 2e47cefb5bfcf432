"""The stores that commands, workers and the HTTP edge work with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from application.command_bus.bus import CommandBus
from application.operations.clock_monitor import ClockMonitor, DecisionClock
from application.operations.process_kinds import POOL
from application.ports.clock import Clock
from application.telemetry.store_health import TelemetryHealth
from domain.identifiers import program_stream_id
from domain.program import Program, ProgramState, Terms
from interfaces.bootstrap.clock import check_system_clock, clock_monitor, clock_of, wall_time_of
from interfaces.bootstrap.servers import NoRunningSystem, resolve_addresses
from interfaces.bootstrap.snapshots import protected_snapshots
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from adapters.postgres.connection.pool import PostgresPool
    from adapters.postgres.event_store.event_store import PostgresEventStore
    from adapters.postgres.event_store.log_listener import LogListener
    from application.ports.access.api_keys import ApiKeys
    from application.ports.access.operators import Operators
    from application.ports.access.sessions import Sessions
    from application.ports.callback import CallbackAddresses
    from application.ports.dispatch.open_work import OpenWorkRows
    from application.ports.facility import FacilityCoordinates, Utilities
    from application.ports.forecast.forecast_book import ForecastBook
    from application.ports.forecast.past_forecasts import PastForecasts
    from application.ports.forecast.scores import ForecastScores
    from application.ports.live_feed import LiveLog
    from application.ports.operations.act_log import ActLog
    from application.ports.operations.alerts import AlertRegistry
    from application.ports.operations.dead_letters import DeadLetters
    from application.ports.operations.system_state import SystemState
    from application.ports.settlement.documents import SettlementDocuments
    from application.ports.telemetry.listed_meters import ListedMeters
    from application.ports.telemetry.meter_powers import MeterPowersView
    from application.ports.telemetry.reading_counts import StoredReadings
    from application.ports.telemetry.rollups import TelemetryRollups
    from application.ports.telemetry.store import TelemetryStore
    from projections.audit.stream_log import StreamLog
    from projections.engine.maintenance import ProjectionMaintenance
    from projections.engine.waits import ProjectionWaits
    from projections.facility import FacilityRow
    from projections.queries.views import ReadModels

CONNECT_WITHIN_S = 5.0
"""For the first connection of the pool."""


@dataclass(frozen=True)
class Stores:
    """The stores that one process shares: one pool, one clock, the event store and its command bus."""

    settings: Settings
    clock: Clock
    pool: Any
    events: PostgresEventStore
    forecasts: ForecastBook
    bus: CommandBus
    clock_monitor: ClockMonitor
    telemetry_health: TelemetryHealth = field(default_factory=TelemetryHealth)

    @property
    def decision_clock(self) -> Clock:
        """The clock for whatever records a decision: it raises ClockSkewed while it is wrong."""
        return DecisionClock(self.clock, self.clock_monitor)

    @property
    def database_url(self) -> str:
        return database_url(self.settings)

    def alerts(self) -> AlertRegistry:
        from adapters.postgres.operations.alerts import PostgresAlerts

        return PostgresAlerts(self.pool, wall_time_of(self.clock))

    def act_log(self) -> ActLog:
        from adapters.postgres.operations.act_log import PostgresActLog

        return PostgresActLog(self.pool, wall_time_of(self.clock))

    def dead_letters(self) -> DeadLetters:
        from adapters.postgres.operations.dead_letters import PostgresDeadLetters

        return PostgresDeadLetters(self.pool, wall_time_of(self.clock))

    def open_work(self) -> OpenWorkRows:
        from adapters.postgres.operations.open_work import PostgresOpenWork

        return PostgresOpenWork(self.pool, wall_time_of(self.clock))

    def read_models(self) -> ReadModels:
        from adapters.postgres.read_model.read_models import PostgresReadModels

        return PostgresReadModels(self.pool)

    def stream_log(self) -> StreamLog:
        from adapters.postgres.audit.stream_log import PostgresStreamLog

        return PostgresStreamLog(self.pool)

    def stored_readings(self) -> StoredReadings:
        from adapters.postgres.telemetry.reading_counts import PostgresStoredReadings

        return PostgresStoredReadings(self.pool)

    def listed_meters(self) -> ListedMeters:
        from adapters.postgres.telemetry.listed_meters import PostgresListedMeters

        return PostgresListedMeters(self.pool)

    def telemetry(self) -> TelemetryStore:
        if self.settings.telemetry_store == "influx":
            from interfaces.bootstrap.influxdb import influx_store

            return influx_store(self.settings, self.pool, self.clock, self.telemetry_health)
        from adapters.postgres.telemetry.store import PostgresTelemetryStore

        return PostgresTelemetryStore(self.pool, self.clock, self.telemetry_health)

    def rollups(self) -> TelemetryRollups:
        if self.settings.telemetry_store == "influx":
            from interfaces.bootstrap.influxdb import influx_store

            return influx_store(self.settings, self.pool, self.clock, self.telemetry_health)
        from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups

        return PostgresTelemetryRollups(self.pool, self.clock, self.telemetry_health)

    def meter_powers(self) -> MeterPowersView:
        if self.settings.telemetry_store == "influx":
            from interfaces.bootstrap.influxdb import influx_meter_powers

            return influx_meter_powers(self.settings, self.telemetry_health)
        from adapters.postgres.telemetry.meter_powers import PostgresMeterPowers

        return PostgresMeterPowers(self.pool, self.telemetry_health)

    def forecast_scores(self) -> ForecastScores:
        from adapters.postgres.forecast.scores import PostgresForecastScores

        return PostgresForecastScores(self.pool)

    def past_forecasts(self) -> PastForecasts:
        from adapters.postgres.forecast.past_forecasts import PostgresPastForecasts

        return PostgresPastForecasts(self.pool)

    def utilities(self) -> Utilities:
        from adapters.postgres.utilities import PostgresUtilities

        return PostgresUtilities(self.pool, wall_time_of(self.clock))

    def api_keys(self) -> ApiKeys:
        from adapters.postgres.access.api_keys import PostgresApiKeys

        return PostgresApiKeys(self.pool, wall_time_of(self.clock))

    def operators(self) -> Operators:
        from adapters.postgres.access.operators import PostgresOperators

        return PostgresOperators(self.pool)

    def callback_addresses(self) -> CallbackAddresses:
        from adapters.postgres.callback_addresses import PostgresCallbackAddresses

        return PostgresCallbackAddresses(self.pool, wall_time_of(self.clock))

    def settlement_documents(self) -> SettlementDocuments:
        from adapters.postgres.settlement_documents import PostgresSettlementDocuments

        return PostgresSettlementDocuments(self.pool)

    def facility_coordinates(self) -> FacilityCoordinates:
        from adapters.postgres.facility_coordinates import PostgresFacilityCoordinates

        return PostgresFacilityCoordinates(self.pool, wall_time_of(self.clock))

    def sessions(self) -> Sessions:
        from adapters.postgres.access.sessions import PostgresSessions

        return PostgresSessions(self.pool)

    def live_log(self) -> LiveLog:
        from adapters.postgres.live_feed import PostgresLiveLog

        return PostgresLiveLog.at(self.database_url)

    def live_signal(self) -> LogListener:
        from adapters.postgres.event_store.log_listener import LogListener
        from adapters.postgres.live_feed import CHANNEL

        return LogListener(self.database_url, CHANNEL)

    def projection_maintenance(self) -> ProjectionMaintenance:
        from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance

        return PostgresProjectionMaintenance(self.database_url, self.clock)

    def projection_waits(self) -> ProjectionWaits:
        from adapters.postgres.read_model.waits import PostgresProjectionWaits

        return PostgresProjectionWaits(self.database_url)

    def existing_programs(self, program_ids: Collection[str]) -> dict[str, Terms | None]:
        """Those of `program_ids` that exist, with their newest terms."""
        programs = {name: self.program(name) for name in sorted(set(program_ids))}
        return {name: found.terms for name, found in programs.items() if found is not None}

    def program(self, program_id: str) -> ProgramState | None:
        """None: there is none."""
        loaded = self.events.load_many(Program, [program_stream_id(program_id)])
        return next((program.state for program in loaded.values()), None)

    def system_state(self) -> SystemState:
        from adapters.postgres.operations.system_state import PostgresSystemState

        return PostgresSystemState(self.pool)

    def close(self) -> None:
        self.events.close()
        self.pool.close()


def database_url(settings: Settings) -> str:
    """The address for the application's role, with the connection parameters for failover."""
    if settings.database_url is None:
        raise NoRunningSystem("no database is known: set GRIDPROOF_DATABASE_URL, or start `gridproof up`")
    from adapters.postgres.connection.dsn import UnreadableAddress, for_failover

    try:
        return for_failover(settings.database_url)
    except UnreadableAddress as error:
        raise NoRunningSystem(f"{error}: correct GRIDPROOF_DATABASE_URL") from error


def replica_url(settings: Settings) -> str | None:
    """The address for reads of users, on a server that may be a standby; None where the settings name none."""
    if settings.database_replica_url is None:
        return None
    from adapters.postgres.connection.dsn import UnreadableAddress, for_reading

    try:
        return for_reading(settings.database_replica_url)
    except UnreadableAddress as error:
        raise NoRunningSystem(f"{error}: correct GRIDPROOF_DATABASE_REPLICA_URL") from error


def open_stores(
    settings: Settings,
    *,
    clock: Clock | None = None,
    pool_size: int = POOL,
    statement_timeout_s: int | None = None,
    is_start: bool = False,
) -> Stores:
    """The caller closes the stores.

    The clock is that of the settings, which must be the one that the system was started with first, unless `clock` is
    given. `is_start`: this process may be the first. `statement_timeout_s` is that of the pool, for a process whose
    statements others cause. Raises ClockMismatch, OtherMigrations, OperationsUnavailable, or a library's error.
    """
    from adapters.forecasting.calendar.public_holidays import RegionalHolidays
    from adapters.postgres.connection.survey import note_primaries
    from adapters.postgres.event_store.event_store import PostgresEventStore
    from adapters.postgres.forecast.forecast_book import PostgresForecastBook
    from adapters.postgres.forecast.scores import PostgresForecastScores
    from adapters.postgres.settlement_documents import PostgresSettlementDocuments
    from application.event_store.demand_response import DemandResponse
    from application.forecast.without_weather import AccuracyWithoutWeather
    from application.handlers import HANDLERS

    is_clock_given, clock = clock is not None, clock or clock_of(settings)
    if is_start:
        note_primaries(database_url(settings))
    pool = _open_pool(settings, pool_size, statement_timeout_s, is_start=is_start)
    try:
        events = PostgresEventStore(
            DemandResponse,
            database_url(settings),
            snapshots=protected_snapshots(settings, pool, clock),
            wall_time=wall_time_of(clock),
        )
    except BaseException:
        pool.close()
        raise
    forecasts, monitor = PostgresForecastBook(pool), clock_monitor(pool, clock)
    bus = CommandBus(
        events,
        DecisionClock(clock, monitor),
        HANDLERS,
        forecasts=forecasts,
        accurate_without_weather=AccuracyWithoutWeather(PostgresForecastScores(pool)),
        command_sla_s=settings.command_sla_s,
        maximum_lead_s=settings.notice_most_days_ahead * 86_400.0,
        public_holidays=RegionalHolidays(),
        settlements=PostgresSettlementDocuments(pool),
    )
    stores = Stores(settings, clock, pool, events, forecasts, bus, monitor)
    if not is_clock_given:
        try:
            check_system_clock(settings, pool, is_start=is_start)
        except BaseException:
            stores.close()
            raise
    return stores


def _open_pool(settings: Settings, size: int, timeout_s: int | None, *, is_start: bool) -> PostgresPool:
    from adapters.postgres.connection.pool import PostgresPool
    from adapters.postgres.schema.migrate import check_applied

    pool = PostgresPool(
        database_url(settings), answer_within_s=timeout_s, min_size=1, max_size=size, open=True, timeout=10
    )
    pool.wait(CONNECT_WITHIN_S)
    if is_start:
        try:
            check_applied(pool)
        except BaseException:
            pool.close()
            raise
    return pool


@contextmanager
def opened_stores(settings: Settings) -> Iterator[Stores]:
    """The stores that the settings name, or those of a running `gridproof up`, for one command."""
    stores = open_stores(resolve_addresses(settings))
    try:
        yield stores
    finally:
        stores.close()


def facility_rows(stores: Stores) -> list[FacilityRow]:
    """Every facility of the read model."""
    from projections.queries.views import all_rows

    return list(all_rows(stores.read_models().facilities))
