"""Compares the widths of degraded forecasts with a full forecast of the same model and cycle, computed here."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from msgspec.structs import replace

from adapters.forecasting import BatchedLoadForecaster
from adapters.forecasting.ensemble.parameters import unpacked
from adapters.forecasting.models.temperature_columns import forward_filled
from application.forecast.cycle_inputs import inputs_of
from application.forecast.cycle_weather import CellWeather
from application.forecast.forecast_commands import ForecastSite, SiteInputs, forecast_commands
from application.ports.forecast.load_forecaster import TrainedModel
from application.ports.weather.source import WeatherReport
from domain.forecast import BEST_FIRST, DataQuality
from domain.time_series.quantiles import CompactSteps
from domain.time_series.windows import FloatArray, IntervalSeries
from interfaces.bootstrap import Stores
from interfaces.bootstrap.forecast import forecast_sites
from tests.chaos.forecast_day.day_expectations import facts_by_place
from tests.chaos.forecast_day.forecast_day import Day

HOUR = timedelta(hours=1)
READ_DAYS = 2
A_WATT = 0.002
"""In kW: steps are recorded in whole watts."""
LEAST_FREE = 0.25
"""The minimum share of steps to compare."""


def wider_by(day: Day, stores: Stores) -> dict[DataQuality, tuple[float, float]]:
    """Quality -> minimum and mean ratio of its forecasts' widths to those with full inputs.

    Widths depend on the age and uncertainty of load and temperature, not on their values, except where a forecast is
    limited by the facility's observed extremes. Forecasts of other models than the day's first are ignored.
    """
    sites = {site.facility_id: site for site in forecast_sites(stores)}
    found: dict[DataQuality, list[float]] = {}
    for (facility_id, cycle_start), facts in facts_by_place(day.facts).items():
        standing, model = facts[-1], day.models[facility_id]
        if standing.data_quality == "full" or standing.model.trained_at != model.trained_at:
            continue
        full = _full_kw(stores, sites[facility_id], model, cycle_start)
        ratio = _ratio(standing.compact_steps.kw(), full, _reach(model))
        found.setdefault(standing.data_quality, []).append(ratio)
    order = [quality for quality in BEST_FIRST if quality in found]
    return {quality: (min(found[quality]), float(np.mean(found[quality]))) for quality in order}


def _ratio(kw: FloatArray, full_kw: FloatArray, reach: tuple[float, float]) -> float:
    low, high = reach
    free = np.ones(kw.shape[1], dtype=np.bool_)
    for one in (kw, full_kw):
        free &= (one[0] > low + A_WATT) & (one[2] < high - A_WATT)
    assert free.mean() > LEAST_FREE, (kw, reach)
    widths, full_widths = ((one[2] - one[0])[free].sum() for one in (kw, full_kw))
    return float(widths / full_widths)


def _reach(model: TrainedModel) -> tuple[float, float]:
    """The limits of all forecasts."""
    lowest, highest = unpacked([model.parameters]).values["reach_kw"][0].tolist()
    room = (highest - lowest) / 5
    return (max(lowest - room, 0.0) if lowest >= 0 else lowest - room), highest + room


def _full_kw(stores: Stores, site: ForecastSite, model: TrainedModel, cycle_start: datetime) -> FloatArray:
    """Shape (3, steps)."""
    since = cycle_start.replace(minute=0) - 24 * READ_DAYS * HOUR
    warm = IntervalSeries(since, 3600, np.full(24 * READ_DAYS + 30, 22.0))
    weather = CellWeather(
        report=WeatherReport(cell=site.weather_cell, issued_at=cycle_start, temp_c=warm),
        age_s=0.0,
        problem=None,
    )
    ((_, known),) = inputs_of(
        stores.telemetry(), [site], {site.weather_cell: weather}, cycle_start, days=READ_DAYS
    )
    assert isinstance(known, SiteInputs)
    history = known.history
    whole = replace(
        known,
        history=history.with_load(forward_filled(history.mean_kw.values[None])[0]),
        sensor_coverage_pct=100.0,
        newest_reading_at=cycle_start,
    )
    (command,) = forecast_commands([whole], [model], cycle_start, BatchedLoadForecaster())
    assert isinstance(command.steps, CompactSteps)
    return command.steps.kw()
