"""Wiring of what serves meters and forecasts: ingest, aggregate, forecast."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interfaces.bootstrap.stores import Stores, facility_rows

if TYPE_CHECKING:
    from application.forecasting import ForecastSite
    from interfaces.workers.forecast_cycle import ForecastCycle


async def run_ingest(stores: Stores, stop: asyncio.Event) -> None:
    import nats

    from adapters.mqtt import MqttMeterFeed
    from adapters.nats.telemetry_stream import NatsTelemetryStream
    from adapters.postgres.exclusive_turn import PostgresExclusiveTurn
    from interfaces.workers import ingest

    client = await nats.connect(str(stores.settings.nats_url), name="ingest", max_reconnect_attempts=-1)
    await ingest.run(
        feed=MqttMeterFeed(str(stores.settings.mqtt_url)),
        stream=NatsTelemetryStream(client),
        alerts=stores.alerts(),
        clock=stores.clock,
        turn=PostgresExclusiveTurn(stores.database_url, "ingest"),
        stop=stop,
    )
    await client.close()


async def run_aggregate(stores: Stores, stop: asyncio.Event) -> None:
    import nats

    from adapters.nats.telemetry_stream import NatsTelemetryStream
    from interfaces.workers import aggregate

    client = await nats.connect(str(stores.settings.nats_url), name="aggregate", max_reconnect_attempts=-1)
    await aggregate.run(
        stream=NatsTelemetryStream(client),
        store=stores.telemetry(),
        dead_letters=stores.dead_letters(),
        alerts=stores.alerts(),
        clock=stores.clock,
        stop=stop,
    )
    await client.close()


async def run_forecast(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.postgres.advisory_locks import AdvisoryLocks
    from interfaces.workers import forecast

    await forecast.run(
        cycle=forecast_cycle(stores),
        clock=stores.clock,
        locks=AdvisoryLocks(stores.database_url),
        stop=stop,
    )


def forecast_cycle(stores: Stores) -> ForecastCycle:
    """One cycle of forecasts, as the worker and `gridproof forecast run` make it."""
    from adapters.forecasting import StatsmodelsLoadForecaster
    from adapters.postgres.event_store import PostgresEventStore
    from adapters.weather import HttpWeatherSource
    from application.command_bus import CommandBus
    from application.forecasts import Forecasts
    from application.handlers.forecast import FORECAST_HANDLERS
    from interfaces.workers.forecast_cycle import ForecastCycle

    weather_url = stores.settings.weather_url
    return ForecastCycle(
        facilities=lambda: forecast_sites(stores),
        telemetry=stores.telemetry(),
        weather=None if weather_url is None else HttpWeatherSource(weather_url, stores.clock),
        forecaster=StatsmodelsLoadForecaster(),
        book=stores.forecasts,
        bus=CommandBus(
            PostgresEventStore(Forecasts, stores.database_url),
            stores.clock,
            FORECAST_HANDLERS,
            forecasts=stores.forecasts,
        ),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def forecast_sites(stores: Stores) -> list[ForecastSite]:
    from application.forecasting import ForecastSite

    return [
        ForecastSite(facility_id=row.facility_id, tz=row.tz, weather_cell=row.weather_cell)
        for row in facility_rows(stores)
        if row.status != "deactivated"
    ]
