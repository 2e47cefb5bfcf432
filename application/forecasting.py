"""From a facility's history, a trained model and the weather to the command that issues its forecast; pure."""

from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
import numpy as np

from application.canonical_series import canonical
from application.commands.forecast import IssueForecast
from application.ports.load_forecaster import FacilityHistory, LoadForecaster, LoadQuantiles, TrainedModel
from application.ports.weather import WeatherReport
from domain.forecast import CYCLE, ForecastInputs, ForecastModel, QuantileSteps
from domain.time_windows import FloatArray, IntervalSeries

STEP_S = int(CYCLE.total_seconds())
HORIZON = timedelta(hours=24)
TRAINED_ON = timedelta(days=42)
RETRAIN_AFTER = timedelta(hours=24)
RETRAIN_WEAK_AFTER = timedelta(hours=6)
"""A model without weekly pattern or weather is tried again sooner: more history may have come."""
COVERAGE_OF = timedelta(days=1)
LEAST_WEATHER = 0.7
"""The share of the horizon's hours that a weather report must cover to count as available."""


class ForecastSite(msgspec.Struct, frozen=True, kw_only=True):
    """What the forecast needs to know of a facility."""

    facility_id: str
    tz: str
    weather_cell: str


class SiteInputs(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is known of a site when its cycle begins."""

    history: FacilityHistory
    """Up to the start of the cycle, quarter-hourly."""
    sensor_coverage_pct: float
    """Of the last day before the cycle."""
    newest_reading_at: datetime
    weather: WeatherReport | None
    weather_age_s: float | None


def is_due_for_training(model: TrainedModel | None, at: datetime) -> bool:
    if model is None:
        return True
    return at - model.trained_at >= (RETRAIN_AFTER if model.uses_weather else RETRAIN_WEAK_AFTER)


def forecast_command(
    inputs: SiteInputs, model: TrainedModel, cycle_start: datetime, forecaster: LoadForecaster
) -> IssueForecast:
    """Forecast the day from `cycle_start` on, and say from what."""
    steps = int(HORIZON.total_seconds()) // STEP_S
    ahead = inputs.weather.temp_c if inputs.weather and covers(inputs.weather, cycle_start) else None
    quantiles = forecaster.forecast(
        model, inputs.history, starts_at=cycle_start, steps=steps, temperatures=ahead
    )
    return IssueForecast(
        facility_id=inputs.history.facility_id,
        cycle_start=cycle_start,
        inputs=ForecastInputs(
            input_hash=input_hash(inputs.history, model, ahead, cycle_start),
            newest_reading_at=inputs.newest_reading_at,
            sensor_coverage_pct=round(inputs.sensor_coverage_pct, 2),
            weather_available=ahead is not None,
            weather_age_s=inputs.weather_age_s if ahead is not None else None,
        ),
        model=ForecastModel(name=model.name, version=model.version, trained_at=model.trained_at),
        steps=quantile_steps(quantiles, cycle_start),
    )


def covers(report: WeatherReport, starts_at: datetime) -> bool:
    """Whether the report says enough of the horizon."""
    hours = int(HORIZON.total_seconds()) // 3600
    return float(np.isfinite(on_steps(report.temp_c, starts_at, 3600, hours)).mean()) >= LEAST_WEATHER


def quantile_steps(quantiles: LoadQuantiles, starts_at: datetime) -> QuantileSteps:
    """To the watt, so that what is stored is compact; rounding keeps the order of the quantiles."""
    return QuantileSteps(
        starts_at=starts_at,
        step_s=STEP_S,
        p10_kw=_to_the_watt(quantiles.p10_kw),
        p50_kw=_to_the_watt(quantiles.p50_kw),
        p90_kw=_to_the_watt(quantiles.p90_kw),
    )


def _to_the_watt(kw: FloatArray) -> tuple[float, ...]:
    return tuple(round(value, 3) for value in kw.tolist())


def input_hash(
    history: FacilityHistory, model: TrainedModel, ahead: IntervalSeries | None, cycle_start: datetime
) -> str:
    """SHA-256 (hex) over everything the forecast follows from."""
    digest = sha256(f"{history.facility_id}|{history.tz}|{cycle_start.isoformat()}".encode())
    digest.update(f"|{model.name}|{model.version}|".encode())
    digest.update(model.parameters)
    for series in (history.mean_kw, history.temp_c, ahead):
        digest.update(b"|none" if series is None else canonical(series))
    return digest.hexdigest()


def with_past_weather(temp_c: IntervalSeries, report: WeatherReport | None) -> IntervalSeries:
    """`temp_c`, with the hours it does not know taken from the report."""
    if report is None:
        return temp_c
    told = on_steps(report.temp_c, temp_c.starts_at, temp_c.step_s, len(temp_c.values))
    return IntervalSeries(
        temp_c.starts_at, temp_c.step_s, np.where(np.isnan(temp_c.values), told, temp_c.values)
    )


def on_steps(series: IntervalSeries, starts_at: datetime, step_s: int, count: int) -> FloatArray:
    """The value of `series` at the start of each of `count` steps; NaN where it knows nothing."""
    offset_s = (starts_at - series.starts_at).total_seconds() + step_s * np.arange(count)
    index = np.floor(offset_s / series.step_s).astype(np.int64)
    known = (index >= 0) & (index < len(series.values))
    found = np.full(count, np.nan)
    found[known] = series.values[index[known]]
    return found
