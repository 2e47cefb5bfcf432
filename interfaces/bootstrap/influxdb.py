"""Wiring of InfluxDB, for settings that store telemetry there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from interfaces.bootstrap.tls import http_tls
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from adapters.influxdb.connection import InfluxConnection
    from adapters.influxdb.meter_powers import InfluxMeterPowers
    from adapters.influxdb.store import InfluxTelemetryStore
    from application.ports.clock import Clock
    from application.telemetry.store_health import TelemetryHealth


def influx_store(
    settings: Settings, pool: Any, clock: Clock, health: TelemetryHealth
) -> InfluxTelemetryStore:
    """The store connects on first use. Raises SecretError."""
    from adapters.influxdb.store import InfluxTelemetryStore
    from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress

    progress = PostgresTelemetryProgress(pool, clock)
    raw_days = settings.telemetry_raw_days
    return InfluxTelemetryStore(influx_connection(settings, health), progress, clock, raw_days=raw_days)


def influx_meter_powers(settings: Settings, health: TelemetryHealth) -> InfluxMeterPowers:
    from adapters.influxdb.meter_powers import InfluxMeterPowers

    return InfluxMeterPowers(influx_connection(settings, health))


def influx_connection(settings: Settings, health: TelemetryHealth | None = None) -> InfluxConnection:
    """A connection to the database that the path of the address names. Raises SecretError."""
    from adapters.influxdb.connection import InfluxConnection
    from interfaces.settings.secrets import resolve_secret

    url = urlsplit(str(settings.influx_url))
    login, _, place = url.netloc.rpartition("@")
    token = (
        unquote(login) if settings.influx_token is None else resolve_secret(settings.influx_token).decode()
    )
    database = url.path.strip("/") or "gridproof"
    return InfluxConnection(
        f"{url.scheme}://{place}",
        database,
        token=token,
        org=settings.influx_org or "",
        health=health,
        tls=http_tls(settings) if url.scheme == "https" else None,
    )


def set_up_telemetry_store(settings: Settings) -> None:
    """Set up the telemetry store if it is not PostgreSQL. Raises MigrationError, SecretError."""
    from adapters.influxdb.setup import InfluxNotSetUp, set_up
    from adapters.postgres.schema.migrate import MigrationError
    from application.ports.telemetry.store import TelemetryStoreUnavailable

    if settings.telemetry_store != "influx":
        return
    connection = influx_connection(settings)
    try:
        set_up(connection, raw_days=settings.telemetry_raw_days, rollup_days=settings.telemetry_rollup_days)
    except (InfluxNotSetUp, TelemetryStoreUnavailable) as error:
        raise MigrationError(f"PostgreSQL is up to date, InfluxDB is not set up: {error}") from error
    finally:
        connection.close()


def influx_summary(settings: Settings) -> str:
    """The text of `gridproof doctor`. Raises TelemetryStoreUnavailable, SecretError."""
    connection = influx_connection(settings)
    try:
        return f"version {connection.version()}, database {connection.database}"
    finally:
        connection.close()
