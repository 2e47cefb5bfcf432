"""Wiring of what serves meters and forecasts: ingest, aggregate, forecast."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from application.ports.failpoints import Failpoint, no_failpoint
from interfaces.bootstrap.stores import Stores, facility_rows
from interfaces.bootstrap.telemetry import serve_telemetry_metrics, watched_telemetry
from interfaces.bootstrap.telemetry_stream import telemetry_log
from interfaces.bootstrap.weather import weather_source
from interfaces.failpoints import failpoint

if TYPE_CHECKING:
    import ssl

    from application.forecast.cycle import ForecastCycle
    from application.forecast.forecast_commands import ForecastSite
    from application.ports.coordination.lock_holders import TurnShares
    from interfaces.settings.settings import Settings
    from interfaces.workers.forecast.scoring import ForecastScoring
    from interfaces.workers.ingest.sessions import IngestSession


async def run_ingest(stores: Stores, stop: asyncio.Event) -> None:
    import nats

    from adapters.nats.raw_log import NatsRawLog
    from adapters.nats.server_list import servers_of
    from interfaces.bootstrap.raw_archive import clock_time
    from interfaces.workers.ingest import ingest
    from interfaces.workers.schedule.telemetry_lag_monitor import show_lag

    serve_telemetry_metrics(stores.settings)
    client = await nats.connect(
        servers_of(str(stores.settings.nats_url)),
        name="ingest",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
    )
    worker = uuid4().hex[:8]
    sessions = ingest_sessions(stores, worker)
    raw_log = NatsRawLog(client, clock_time=clock_time(stores.settings))
    showing = asyncio.create_task(show_lag(raw_log, stores.clock, stop), name="lag shown")
    try:
        await ingest.run(
            sessions=sessions,
            stream=telemetry_log(client, stores.settings),
            alerts=stores.alerts(),
            clock=stores.clock,
            shares=None if len(sessions) == 1 else _turn_shares(stores),
            worker=worker,
            stop=stop,
        )
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
    await client.close()


def ingest_sessions(stores: Stores, worker: str) -> list[IngestSession]:
    """The sessions of the settings, as `worker` may read them. Raises MqttTlsError."""
    from adapters.mqtt import MqttMeterFeed
    from adapters.postgres.coordination.exclusive_lock import PostgresExclusiveTurn
    from interfaces.workers.ingest.sessions import IngestSession

    settings = stores.settings
    alone = settings.mqtt_sessions == 1
    client_id = settings.mqtt_client_id
    # A session keeps its subscriptions: alone and shared must not be the same one.
    names = [client_id] if alone else [f"{client_id}-{n}" for n in range(settings.mqtt_sessions)]
    return [
        IngestSession(
            name=name,
            feed=MqttMeterFeed(
                str(settings.mqtt_url),
                client_id=name,
                share=None if alone else client_id,
                version=settings.mqtt_version,
                tls=mqtt_tls(settings),
            ),
            turn=PostgresExclusiveTurn(
                stores.database_url, "ingest" if alone else f"ingest {name}", holder=None if alone else worker
            ),
        )
        for name in names
    ]


def mqtt_tls(settings: Settings) -> ssl.SSLContext | None:
    """None for a broker without TLS. Raises MqttTlsError."""
    from adapters.mqtt import tls_context

    if not str(settings.mqtt_url).startswith("mqtts:"):
        return None
    return tls_context(
        ca_file=settings.mqtt_ca_file,
        cert_file=settings.mqtt_cert_file,
        key_file=settings.mqtt_key_file,
        alpn=settings.mqtt_alpn,
    )


def _turn_shares(stores: Stores) -> TurnShares:
    from adapters.postgres.coordination.lock_holders import PostgresTurnShares

    return PostgresTurnShares(stores.database_url, "ingest ")


async def run_aggregate(stores: Stores, stop: asyncio.Event) -> None:
    import nats

    from adapters.nats.server_list import servers_of
    from adapters.postgres.coordination.partition_assignment import PostgresPartitionShares
    from domain.telemetry.meter_reading import ALL_PARTITIONS
    from interfaces.workers.aggregate import aggregate

    serve_telemetry_metrics(stores.settings)
    client = await nats.connect(
        servers_of(str(stores.settings.nats_url)),
        name="aggregate",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
    )
    async with watched_telemetry(stores, "aggregate", keeps_cache_warm=True) as store:
        await aggregate.run(
            stream=telemetry_log(client, stores.settings),
            store=store,
            dead_letters=stores.dead_letters(),
            alerts=stores.alerts(),
            clock=stores.clock,
            stop=stop,
            rollups=stores.rollups(),
            shares=PostgresPartitionShares(stores.database_url, ALL_PARTITIONS),
        )
    await client.close()


async def run_forecast(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.postgres.coordination.session_locks import AdvisoryLocks
    from interfaces.workers.forecast import forecast

    locks = AdvisoryLocks(stores.database_url)
    reached = failpoint(stores.settings.failpoint, stores.settings.failpoint_once_file)
    with forecast_cycle(stores, reached=reached) as cycle:
        cycles = forecast.run(cycle=cycle, clock=stores.clock, locks=locks, stop=stop)
        async with asyncio.TaskGroup() as group:
            group.create_task(forecast_scoring(stores).run(locks, stop), name="forecast scoring")
            await cycles


@contextmanager
def forecast_cycle(stores: Stores, *, reached: Failpoint = no_failpoint) -> Iterator[ForecastCycle]:
    """One cycle of forecasts, as the worker and `gridproof forecast run` make it, over a log that it opens."""
    from adapters.forecasting import BatchedLoadForecaster
    from adapters.postgres.event_store.event_store import PostgresEventStore
    from adapters.postgres.forecast.models import PostgresForecastModels
    from application.event_store.forecasts import Forecasts
    from application.forecast.cycle import ForecastCycle
    from application.forecast.issue import ForecastIssuing
    from application.forecast.model_registry import ModelShelf

    with closing(PostgresEventStore(Forecasts, stores.database_url)) as log:
        yield ForecastCycle(
            facilities=lambda: forecast_sites(stores),
            telemetry=stores.telemetry(),
            weather=weather_source(stores),
            forecaster=BatchedLoadForecaster(),
            issuing=ForecastIssuing(log, stores.clock),
            alerts=stores.alerts(),
            clock=stores.clock,
            models=ModelShelf(PostgresForecastModels(stores.pool), readable=BatchedLoadForecaster.reads),
            reached=reached,
        )


def forecast_scoring(stores: Stores) -> ForecastScoring:
    from interfaces.workers.forecast.scoring import ForecastScoring

    return ForecastScoring(
        facilities=lambda: [site.facility_id for site in forecast_sites(stores)],
        telemetry=stores.telemetry(),
        past=stores.past_forecasts(),
        scores=stores.forecast_scores(),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def forecast_sites(stores: Stores) -> list[ForecastSite]:
    from application.forecast.forecast_commands import ForecastSite

    return [
        ForecastSite(facility_id=row.facility_id, tz=row.tz, weather_cell=row.weather_cell, region=row.region)
        for row in facility_rows(stores)
        if row.status != "deactivated"
    ]
