"""Setup of the forecast benchmark: made-up facilities, their history in a database, and the parts of a cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from application.forecast.forecast_commands import ForecastSite
from application.ports.forecast.load_forecaster import FacilityHistory, TrainedModel
from application.ports.telemetry.store import ImportedIntervals
from domain.time_series.windows import IntervalSeries
from tests.fakes.operations.alerts import FakeAlertRegistry

if TYPE_CHECKING:
    from application.forecast.cycle import ForecastCycle
    from application.forecast.issue import ForecastIssuing
    from application.ports.forecast.load_forecaster import LoadForecaster
    from application.ports.telemetry.store import TelemetryStore
    from domain.time_series.windows import FloatArray

QUARTER_S = 900
KINDS = 64
"""The number of different histories. Further facilities share their models, which cost the same to use."""
TZ = "America/Los_Angeles"


def load_kw(kind: int, starts_s: FloatArray) -> FloatArray:
    """The load of a building of this kind: daily profile, temperature effect and noise."""
    hour = starts_s / 3600 % 24
    drawn = np.random.default_rng(kind).normal(0, 3, len(starts_s))
    warm = np.clip(temp_c(starts_s) - 18, 0, None)
    found: FloatArray = 50 + kind + 100 * ((hour >= 14) & (hour < 24)) + (1 + kind % 5) * warm + drawn
    return found


def temp_c(starts_s: FloatArray) -> FloatArray:
    found: FloatArray = 20 + 6 * np.sin((starts_s / 3600 % 24 - 15) * np.pi / 12) + 4 * np.sin(starts_s / 3e5)
    return found


def histories(count: int, ends_at: datetime, days: int) -> list[FacilityHistory]:
    """Quarter-hours of one facility of each of the first `count` kinds."""
    starts_at = ends_at - timedelta(days=days)
    starts_s = starts_at.timestamp() + QUARTER_S * np.arange(days * 96.0)
    warm = IntervalSeries(starts_at, QUARTER_S, temp_c(starts_s))
    return [
        FacilityHistory(
            facility_id=f"kind-{kind}",
            tz=TZ,
            mean_kw=IntervalSeries(starts_at, QUARTER_S, load_kw(kind, starts_s)),
            temp_c=warm,
        )
        for kind in range(count)
    ]


def cycle_start() -> datetime:
    """The start of the current cycle."""
    from adapters.clock import SystemClock
    from domain.forecast import cycle_start_of

    return cycle_start_of(SystemClock().now())


def forecaster() -> LoadForecaster:
    from adapters.forecasting import BatchedLoadForecaster

    return BatchedLoadForecaster()


def sites(count: int) -> list[ForecastSite]:
    return [
        ForecastSite(facility_id=f"fac-{number:05}", tz=TZ, weather_cell="cell-1") for number in range(count)
    ]


@contextmanager
def cycle_of(
    database_url: str,
    count: int,
    at: datetime,
    models: Sequence[TrainedModel],
    timed: Callable[[str, Any], Any],
) -> Iterator[ForecastCycle]:
    """A cycle of `count` facilities with two days of stored history each; its stores and its forecaster go through
    `timed`, named "read", "write" and "compute"."""
    from psycopg_pool import ConnectionPool

    from adapters.clock import SystemClock
    from adapters.postgres.event_store.event_store import PostgresEventStore
    from adapters.postgres.telemetry.store import PostgresTelemetryStore
    from application.event_store.forecasts import Forecasts
    from application.forecast.cycle import ForecastCycle
    from application.forecast.issue import ForecastIssuing
    from application.forecast.model_registry import ModelRegistry

    store = PostgresEventStore(Forecasts, database_url)
    clock = SystemClock()
    with ConnectionPool(database_url, min_size=1, max_size=4, open=True) as pool:
        telemetry = PostgresTelemetryStore(pool, clock)
        all_sites = sites(count)
        _remember(telemetry, [site.facility_id for site in all_sites], at)
        shelf = ModelRegistry()
        for number, site in enumerate(all_sites):
            model = models[number % len(models)]
            # Separate parameters for each facility, as in production: they are most of the memory.
            own = bytes(bytearray(model.parameters))
            shelf.put({site.facility_id: msgspec.structs.replace(model, parameters=own)})
        reading: TelemetryStore = timed("read", telemetry)
        writing: ForecastIssuing = timed("write", ForecastIssuing(store, clock))
        computing: LoadForecaster = timed("compute", forecaster())
        yield ForecastCycle(
            facilities=lambda: all_sites,
            telemetry=reading,
            weather=_Warm(at),
            forecaster=computing,
            issuing=writing,
            alerts=FakeAlertRegistry(),
            clock=clock,
            models=shelf,
        )
    store.close()


class _Warm:
    """A weather source that is always available."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> Any:
        from application.ports.weather.source import WeatherReport

        hours = int((ends_at - starts_at) / timedelta(hours=1))
        starts_s = starts_at.timestamp() + 3600 * np.arange(float(hours))
        return WeatherReport(
            cell=cell, issued_at=self._at, temp_c=IntervalSeries(starts_at, 3600, temp_c(starts_s))
        )


def _remember(telemetry: TelemetryStore, facility_ids: Sequence[str], until: datetime) -> None:
    count = 2 * 96
    starts_s = int(until.timestamp()) - QUARTER_S * np.arange(count, 0, -1)
    warm = temp_c(starts_s.astype(np.float64))
    for start in range(0, len(facility_ids), 500):
        some = facility_ids[start : start + 500]
        loads = [load_kw((start + i) % KINDS, starts_s.astype(np.float64)) for i in range(len(some))]
        telemetry.import_intervals(
            ImportedIntervals(
                tuple(some),
                np.repeat(np.arange(len(some)), count),
                np.tile(starts_s, len(some)),
                np.full(len(some) * count, QUARTER_S),
                np.concatenate(loads),
                np.tile(warm, len(some)),
            )
        )


def daily_update(facilities: int) -> Callable[[], None]:
    """One day's hours added to the normal equations of every member of so many facilities, and all of them solved."""
    from adapters.forecasting.models.autoregression import LAGS_H
    from adapters.forecasting.models.mean_models import MeanModels
    from adapters.forecasting.models.temperature_columns import DENSE

    drawn = np.random.default_rng(1)
    models = MeanModels(facilities)
    week = np.tile(np.arange(24 * 28) % 168, (facilities, 1))
    load = drawn.normal(100, 10, week.shape)
    columns = drawn.normal(size=(*week.shape, DENSE))
    columns[:, :, 0] = 1.0
    lags = drawn.normal(100, 10, (*week.shape, len(LAGS_H)))
    models.add(0, load, week, columns, lags)

    def update() -> None:
        day = slice(0, 24)
        models.add(24 * 28, load[:, day], week[:, day], columns[:, day], lags[:, day])
        models.means(24 * 29)
        models.autoregression(24 * 29)

    return update
