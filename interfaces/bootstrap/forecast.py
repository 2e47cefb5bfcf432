"""Wiring of the forecast worker and of one forecast cycle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from application.ports.failpoints import Failpoint, no_failpoint
from interfaces.bootstrap.clock import wall_time_of
from interfaces.bootstrap.operations import locks_of
from interfaces.bootstrap.stores import Stores, facility_rows
from interfaces.bootstrap.weather import cell_temperatures, weather_source
from interfaces.failpoints import failpoint

if TYPE_CHECKING:
    from application.forecast.cycle import ForecastCycle
    from application.forecast.forecast_commands import ForecastSite
    from interfaces.workers.forecast.scoring import ForecastScoring


async def run_forecast(stores: Stores, stop: asyncio.Event) -> None:
    from interfaces.workers.forecast import forecast

    locks = locks_of(stores)
    reached = failpoint(stores.settings.failpoint, stores.settings.failpoint_once_file)
    with forecast_cycle(stores, reached=reached) as cycle:
        cycles = forecast.run(cycle=cycle, clock=stores.clock, locks=locks, stop=stop)
        async with asyncio.TaskGroup() as group:
            group.create_task(forecast_scoring(stores).run(locks, stop), name="forecast scoring")
            await cycles


@contextmanager
def forecast_cycle(stores: Stores, *, reached: Failpoint = no_failpoint) -> Iterator[ForecastCycle]:
    """The forecast cycle of the worker and of `gridproof forecast run`, with an event store of its own."""
    from adapters.forecasting import BatchedLoadForecaster
    from adapters.postgres.event_store.event_store import PostgresEventStore
    from adapters.postgres.forecast.models import PostgresForecastModels
    from application.event_store.forecasts import Forecasts
    from application.forecast.cycle import ForecastCycle
    from application.forecast.issue import ForecastIssuing
    from application.forecast.model_registry import ModelRegistry

    store = PostgresEventStore(Forecasts, stores.database_url, wall_time=wall_time_of(stores.clock))
    with closing(store) as log:
        yield ForecastCycle(
            facilities=lambda: forecast_sites(stores),
            telemetry=stores.telemetry(),
            weather=weather_source(stores),
            forecaster=BatchedLoadForecaster(),
            issuing=ForecastIssuing(log, stores.decision_clock),
            alerts=stores.alerts(),
            clock=stores.clock,
            models=ModelRegistry(PostgresForecastModels(stores.pool), readable=BatchedLoadForecaster.reads),
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
        temperatures=cell_temperatures(stores),
        temperatures_kept=timedelta(days=stores.settings.telemetry_rollup_days),
    )


def forecast_sites(stores: Stores) -> list[ForecastSite]:
    from application.forecast.forecast_commands import ForecastSite

    now = stores.clock.now()
    rows = [row for row in facility_rows(stores) if row.status != "deactivated"]
    return [
        ForecastSite(
            facility_id=row.facility_id,
            tz=location.tz,
            weather_cell=location.weather_cell,
            region=location.region,
        )
        for row, location in ((row, row.locations.at(now)) for row in rows)
    ]
