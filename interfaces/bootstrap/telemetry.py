"""Wiring of telemetry: the ingest and aggregate workers, the store, its monitors and its retention."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from interfaces.bootstrap.servers import current_cache
from interfaces.bootstrap.telemetry_stream import follow_meters, oldest_reading, telemetry_log

if TYPE_CHECKING:
    import ssl

    from adapters.postgres.coordination.session_locks import LockSession
    from application.history_import.importer import HistoryReport
    from application.ports.coordination.locks import Locks
    from application.ports.telemetry.meter_readings import MeterReadingsView
    from application.ports.telemetry.store import TelemetryStore
    from application.ports.telemetry.stored_meters import StoredMeters
    from application.telemetry.reading_gaps import GapSources
    from domain.event_sourcing.aggregate import Provenance
    from domain.telemetry.meter_reading import MeterReading
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings
    from interfaces.workers.ingest.sessions import IngestSession
    from interfaces.workers.measure.sealing import Sealing
    from interfaces.workers.schedule.reading_monitor import ReadingMonitor
    from interfaces.workers.schedule.retention import Retention
    from interfaces.workers.schedule.rollup_monitor import RollupMonitor


@asynccontextmanager
async def monitored_telemetry(stores: Stores, process: str) -> AsyncIterator[None]:
    """During the block: alerts and metrics of the calls that `process` makes to the telemetry store."""
    from interfaces.workers.loops.telemetry_metrics import show_health
    from interfaces.workers.loops.telemetry_monitor import TelemetryMonitor

    health, stop = stores.telemetry_health, asyncio.Event()
    show_health(health, process)
    monitor = TelemetryMonitor(health, stores.alerts(), stores.clock, process)
    running = asyncio.create_task(monitor.run(stop), name="telemetry watch")
    try:
        yield
    finally:
        stop.set()
        await running


@asynccontextmanager
async def warm_cache(
    stores: Stores, store: TelemetryStore
) -> AsyncIterator[Callable[[Sequence[MeterReading]], None]]:
    """During the block the shared cache gets the new values. Yields what to call with the readings that were stored."""
    from application.telemetry.current_values import WRITE_THROUGH_EVERY_S, WriteThrough
    from domain.telemetry.reading_block import facilities_in
    from interfaces.workers.loops.periodic import PeriodicCheck

    cache, stop = current_cache(stores.settings, stores.pool), asyncio.Event()
    if cache is None:
        yield lambda readings: None
        return
    through = WriteThrough(store, stores.clock, cache)
    rounds = PeriodicCheck("warm cache", through.round, every_s=WRITE_THROUGH_EVERY_S)
    running = asyncio.create_task(rounds.run(stop), name="warm cache")
    try:
        yield lambda readings: through.note(facilities_in(readings))
    finally:
        stop.set()
        await running


def rollup_monitor(stores: Stores) -> RollupMonitor:
    from adapters.postgres.telemetry.rollups.lag import PostgresFinalizingLag
    from interfaces.workers.schedule.rollup_monitor import RollupMonitor

    return RollupMonitor(
        lag=PostgresFinalizingLag(stores.pool),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def reading_monitor(stores: Stores) -> ReadingMonitor:
    from application.telemetry.missing_readings_alert import MissingReadings
    from interfaces.workers.schedule.reading_monitor import ReadingMonitor

    read_models = stores.read_models()
    return ReadingMonitor(
        dr_events=read_models.dr_events,
        facilities=read_models.facilities,
        missing=MissingReadings(stores.telemetry(), stores.listed_meters(), stores.clock),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


async def watch_lag(stores: Stores, locks: Locks, stop: asyncio.Event) -> None:
    """Run the telemetry lag monitor until `stop`, once NATS answers. Without an address of NATS it does nothing."""
    from adapters.nats.connection import connect
    from adapters.nats.raw_log import NatsRawLog
    from interfaces.bootstrap.raw_archive import clock_time
    from interfaces.workers.schedule.telemetry_lag_monitor import TelemetryLagMonitor

    settings = stores.settings
    if settings.nats_url is None:
        return
    connecting = asyncio.ensure_future(connect(settings.nats_url, name="lag watch"))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            return
        client = connecting.result()
        watch = TelemetryLagMonitor(
            log=NatsRawLog(client, clock_time=clock_time(settings)),
            alerts=stores.alerts(),
            clock=stores.clock,
        )
        try:
            await watch.periodic.run(stop, locks)
        finally:
            await client.close()
    finally:
        stopping.cancel()
        while (
            not connecting.done()
        ):  # nats-py may take a cancellation for the failure of one server, and go on
            connecting.cancel()
            await asyncio.wait([connecting, stopping], timeout=0.5)
        await asyncio.gather(connecting, stopping, return_exceptions=True)


def telemetry_retention(stores: Stores) -> Retention | None:
    """None where the store deletes old readings by itself."""
    from adapters.postgres.telemetry.retention import PostgresTelemetryRetention
    from application.telemetry.retention_policy import RetentionPolicy
    from interfaces.bootstrap.raw_archive import archived_through
    from interfaces.workers.schedule.retention import Retention

    settings = stores.settings
    if settings.telemetry_store == "influx":
        return None
    return Retention(
        store=PostgresTelemetryRetention(stores.pool),
        policy=RetentionPolicy(
            raw_days=settings.telemetry_raw_days,
            rollup_days=settings.telemetry_rollup_days,
            restored_days=settings.telemetry_restored_days,
        ),
        alerts=stores.alerts(),
        clock=stores.clock,
        archived_through=archived_through(stores),
    )


def gap_sources(stores: Stores) -> GapSources:
    from application.telemetry.reading_gaps import GapSources

    retained = timedelta(days=stores.settings.telemetry_raw_days)
    return GapSources(meter_readings(stores), stores.clock, retained)


def stored_meters(stores: Stores) -> StoredMeters:
    if stores.settings.telemetry_store == "influx":
        from adapters.influxdb.stored_meters import InfluxStoredMeters
        from interfaces.bootstrap.influxdb import influx_connection

        return InfluxStoredMeters(influx_connection(stores.settings))
    from adapters.postgres.telemetry.stored_meters import PostgresStoredMeters

    return PostgresStoredMeters(stores.pool, stores.clock)


def meter_readings(stores: Stores) -> MeterReadingsView:
    if stores.settings.telemetry_store == "influx":
        from adapters.influxdb.meter_readings import InfluxMeterReadings
        from interfaces.bootstrap.influxdb import influx_connection

        return InfluxMeterReadings(influx_connection(stores.settings))
    from adapters.postgres.telemetry.meter_readings import PostgresMeterReadings

    return PostgresMeterReadings(stores.pool)


async def run_ingest(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.nats.connection import connect
    from adapters.nats.raw_log import NatsRawLog
    from adapters.postgres.coordination.exclusive_lock import PostgresLockHolders, exclusive_session
    from interfaces.bootstrap.raw_archive import clock_time
    from interfaces.workers.ingest import ingest
    from interfaces.workers.loops.side_task import run_side_task
    from interfaces.workers.schedule.telemetry_lag_monitor import show_lag

    client = await connect(str(stores.settings.nats_url), name="ingest")
    worker, alone = uuid4().hex[:8], stores.settings.mqtt_sessions == 1
    locks = exclusive_session(
        stores.database_url, "ingest" if alone else _SHARED, holder=None if alone else worker
    )
    sessions = ingest_sessions(stores.settings, locks)
    raw_log = NatsRawLog(client, clock_time=clock_time(stores.settings))
    stream = telemetry_log(client, stores.settings, stores.listed_meters())
    beside = [
        asyncio.create_task(
            run_side_task(run, stop, name=name, alerts=stores.alerts(), clock=stores.clock), name=name
        )
        for name, run in (
            ("telemetry lag metric", partial(show_lag, raw_log, stores.clock)),
            ("telemetry log size", partial(follow_meters, stream, stores)),
        )
    ]
    try:
        await ingest.run(
            sessions=sessions,
            stream=stream,
            alerts=stores.alerts(),
            clock=stores.clock,
            meters=stores.listed_meters(),
            oldest=oldest_reading(stores.settings),
            stores_originals=stores.settings.telemetry_archive and stores.settings.telemetry_originals,
            shares=None if alone else PostgresLockHolders(locks, _SHARED),
            worker=worker,
            stop=stop,
        )
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await locks.aclose()
    await client.close()


_SHARED = "ingest "
"""What the names of the locks begin with where several workers share the MQTT sessions."""


def ingest_sessions(settings: Settings, locks: LockSession) -> list[IngestSession]:
    """The MQTT sessions of the settings. Raises TlsFilesError."""
    from adapters.mqtt import MqttMeterFeed
    from adapters.postgres.coordination.exclusive_lock import PostgresExclusiveLock
    from interfaces.workers.ingest.sessions import IngestSession

    alone = settings.mqtt_sessions == 1
    client_id = settings.mqtt_client_id
    # A session keeps its subscriptions: a single session must not have the name of a shared one.
    names = [client_id] if alone else [f"{client_id}-{n}" for n in range(settings.mqtt_sessions)]
    return [
        IngestSession(
            name="ingest" if alone else name,  # a drawn client id is not for logs
            feed=MqttMeterFeed(
                str(settings.mqtt_url),
                client_id=name,
                share=None if alone else client_id,
                version=settings.mqtt_version,
                tls=mqtt_tls(settings),
            ),
            lock=PostgresExclusiveLock(locks, "ingest" if alone else f"{_SHARED}{name}"),
        )
        for name in names
    ]


def mqtt_tls(settings: Settings) -> ssl.SSLContext | None:
    """None for a broker without TLS. Raises TlsFilesError."""
    from adapters.tls import tls_context

    if not str(settings.mqtt_url).startswith("mqtts:"):
        return None
    return tls_context(
        ca_file=settings.mqtt_ca_file,
        also_ca_file=settings.tls_ca_file,
        cert_file=settings.mqtt_cert_file,
        key_file=settings.mqtt_key_file,
        alpn=settings.mqtt_alpn,
    )


async def run_aggregate(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.nats.connection import connect
    from adapters.postgres.coordination.partition_assignment import SESSION, PostgresPartitionAssignment
    from adapters.postgres.coordination.session_locks import LockSession
    from domain.telemetry.meter_reading import ALL_PARTITIONS
    from interfaces.workers.aggregate import aggregate

    client = await connect(str(stores.settings.nats_url), name="aggregate")
    store = stores.telemetry()
    async with monitored_telemetry(stores, "aggregate"), warm_cache(stores, store) as stored:
        await aggregate.run(
            stream=telemetry_log(client, stores.settings),
            store=store,
            dead_letters=stores.dead_letters(),
            alerts=stores.alerts(),
            clock=stores.clock,
            stop=stop,
            rollups=stores.rollups(),
            stored=stored,
            shares=PostgresPartitionAssignment(LockSession(stores.database_url, SESSION), ALL_PARTITIONS),
        )
    await client.close()


def sealing(stores: Stores) -> Sealing:
    """What seals the readings of each local day: a pass of the measure worker."""
    from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
    from application.telemetry.sealing.day_sealer import DaySealer
    from interfaces.bootstrap.stores import facility_rows
    from interfaces.workers.measure.failing_subjects import FailingSubjects
    from interfaces.workers.measure.sealing import ALERT, RETRY_S, SealedSite, Sealing

    def sites() -> list[SealedSite]:
        return [
            SealedSite(row.facility_id, row.locations, is_active=row.status != "deactivated")
            for row in facility_rows(stores)
        ]

    return Sealing(
        sites=sites,
        corrections=stores.rollups(),
        positions=PostgresReaderPositions(stores.pool),
        store=stores.events,
        sealer=DaySealer(stores.events, stores.telemetry(), stores.decision_clock),
        clock=stores.decision_clock,
        failing=FailingSubjects(stores.alerts(), stores.clock, alert=ALERT, retry_s=RETRY_S),
    )


def seal_imported_history(
    stores: Stores, report: HistoryReport, provenance: Provenance, *, zones: Mapping[str, str] | None = None
) -> int:
    """Seal the days that an import of history touched, of the facilities in `zones` (facility -> time zone), or else of
    those that the portfolio has."""
    from application.telemetry.sealing.history_sealer import HistorySealer, ImportedSpan
    from interfaces.bootstrap.stores import facility_rows

    spans = [
        ImportedSpan(one.facility_id, one.starts_at, one.ends_at, one.step_s, one.rows)
        for one in report.facilities
    ]
    if zones is None:
        now = stores.clock.now()
        zones = {row.facility_id: row.locations.at(now).tz for row in facility_rows(stores)}
    return HistorySealer(stores.events, stores.telemetry()).seal(spans, zones, provenance)
