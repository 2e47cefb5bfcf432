"""Wiring of one forecast cycle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from application.ports.failpoints import Failpoint, no_failpoint
from interfaces.bootstrap.clock import wall_time_of
from interfaces.bootstrap.stores import Stores, facility_rows
from interfaces.bootstrap.weather import weather_source

if TYPE_CHECKING:
    from application.forecast.cycle import ForecastCycle
    from application.forecast.forecast_commands import ForecastSite
    from application.ports.forecast.load_forecaster import LoadForecaster


@contextmanager
def forecast_cycle(
    stores: Stores, *, forecaster: LoadForecaster | None = None, reached: Failpoint = no_failpoint
) -> Iterator[ForecastCycle]:
    """The forecast cycle of the worker and of `gridproof forecast run`, with an event store of its own.

    `forecaster`: None: it trains in this process.
    """
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
            forecaster=forecaster or BatchedLoadForecaster(),
            issuing=ForecastIssuing(log, stores.decision_clock),
            alerts=stores.alerts(),
            clock=stores.clock,
            models=ModelRegistry(PostgresForecastModels(stores.pool), readable=BatchedLoadForecaster.reads),
            reached=reached,
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
