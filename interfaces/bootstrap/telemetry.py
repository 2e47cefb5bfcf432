"""Wiring of telemetry: the ingest and aggregate workers, the store, its monitors and its retention."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from application.history_import.importer import HistoryReport
    from application.ports.telemetry.meter_readings import MeterReadingsView
    from application.ports.telemetry.stored_meters import StoredMeters
    from application.telemetry.reading_gaps import GapSources
    from domain.event_sourcing.aggregate import Provenance
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings


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
