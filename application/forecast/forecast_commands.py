"""Computation of the commands that issue forecasts, from histories, trained models and weather; pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
import numpy as np

from application.commands.forecast import IssueForecast
from application.ports.forecast.load_forecaster import (
    RECENT_DAYS,
    FacilityHistory,
    LoadForecaster,
    RecentBlock,
    TemperaturesAhead,
    TrainedModel,
)
from application.ports.weather.source import WeatherReport
from domain.forecast import CYCLE, STALE_WEATHER_S, ForecastInputs, ForecastModel
from domain.time_series.digest import canonical
from domain.time_series.quantiles import CompactSteps
from domain.time_series.windows import FloatArray, IntervalSeries

STEP_S = int(CYCLE.total_seconds())
HORIZON = timedelta(hours=24)
TRAINED_ON = timedelta(days=400)
STOOD_STILL_H = 24
COVERAGE_OF = timedelta(days=1)
MIN_WEATHER = 0.7
"""The share of the horizon's hours that a weather report must cover to count as available."""


class ForecastSite(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a facility that the forecast needs."""

    facility_id: str
    tz: str
    weather_cell: str
    region: str | None = None
    """The region of its public holidays, as FacilityHistory.region."""


class SiteInputs(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The inputs of a site at the start of its cycle."""

    history: FacilityHistory
    """Quarter-hourly up to the start of the cycle: the load since the model's history ended, at least a day."""
    sensor_coverage_pct: float
    """Of the last day before the cycle."""
    newest_reading_at: datetime
    weather: WeatherReport | None
    weather_age_s: float | None


def forecast_commands(
    inputs: Sequence[SiteInputs],
    models: Sequence[TrainedModel],
    cycle_start: datetime,
    forecaster: LoadForecaster,
) -> list[IssueForecast]:
    """Forecast the day from `cycle_start` on, with the inputs recorded. The histories are on one grid."""
    ahead = [
        one.weather.temp_c if one.weather and covers(one.weather, cycle_start) else None for one in inputs
    ]
    found = forecaster.forecast_many(
        models,
        _recent(inputs),
        starts_at=cycle_start,
        steps=int(HORIZON.total_seconds()) // STEP_S,
        temperatures=_ahead(ahead, [one.weather_age_s for one in inputs], cycle_start),
    )
    return [
        IssueForecast(
            facility_id=one.history.facility_id,
            cycle_start=cycle_start,
            inputs=ForecastInputs(
                input_hash=input_hash(one, model, reported, cycle_start),
                newest_reading_at=_newest_reading_at(one, found.ages_h[row], found.unheard[row], cycle_start),
                sensor_coverage_pct=_believed_pct(one.sensor_coverage_pct, found.left_out[row]),
                weather_available=has_weather,
                weather_age_s=one.weather_age_s if has_weather else None,
                readings_left_out=found.left_out[row],
            ),
            model=ForecastModel(name=model.name, version=model.version, trained_at=model.trained_at),
            steps=CompactSteps.of(cycle_start, STEP_S, found.kw[:, row]),
        )
        for row, (one, model, reported) in enumerate(zip(inputs, models, ahead, strict=True))
        # With too little load or too few temperatures of the past, a facility is forecast without weather by design,
        # and no worse with a long history without temperatures than with a short one. That must not lower the
        # quality of its inputs: the weather is there, and its model is trained again as soon as it can use it.
        for has_weather in [found.used_weather[row] or (reported is not None and not model.uses_weather)]
    ]


def _newest_reading_at(inputs: SiteInputs, age_h: int, unheard: int, cycle_start: datetime) -> datetime:
    """The newest used reading. A meter that repeats one value for a day counts as silent since that day
    began; one whose newest readings are spikes, since the last reading that is not."""
    return min(
        inputs.newest_reading_at, last_usable_at(cycle_start, age_h=age_h, unheard=unheard, step=CYCLE)
    )


def last_usable_at(at: datetime, *, age_h: int, unheard: int, step: timedelta) -> datetime:
    """The end of the last data of a meter that a forecast at `at` could use; arguments as in BlockQuantiles."""
    silent = timedelta(hours=age_h) if age_h >= STOOD_STILL_H else timedelta(0)
    return at - max(silent, step * unheard)


def _believed_pct(sensor_coverage_pct: float, left_out: int) -> float:
    return round(max(sensor_coverage_pct - 100.0 * left_out / (COVERAGE_OF // CYCLE), 0.0), 2)


def _recent(inputs: Sequence[SiteInputs]) -> RecentBlock:
    histories = [one.history for one in inputs]
    grid = histories[0].mean_kw
    return RecentBlock(
        facility_ids=tuple(one.facility_id for one in histories),
        tz=tuple(one.tz for one in histories),
        regions=tuple(one.region for one in histories),
        starts_at=grid.starts_at,
        step_s=grid.step_s,
        mean_kw=np.stack([one.mean_kw.values for one in histories]),
        temp_c=np.stack([one.temp_c.values for one in histories]),
        coverage=tuple(min(one.sensor_coverage_pct / 100.0, 1.0) for one in inputs),
    )


def _ahead(
    reported: Sequence[IntervalSeries | None], ages_s: Sequence[float | None], cycle_start: datetime
) -> TemperaturesAhead | None:
    """Hourly temperatures from two days before the cycle's start. Sites of one cell share a report and its
    row."""
    if not any(reported):
        return None
    starts_at = cycle_start.replace(minute=0) - timedelta(days=RECENT_DAYS)
    hours = RECENT_DAYS * 24 + HORIZON // timedelta(hours=1) + 2
    rows: dict[int, FloatArray] = {}
    for one in reported:
        if one is not None and id(one) not in rows:
            rows[id(one)] = on_steps(one, starts_at, 3600, hours)
    nothing = np.full(hours, np.nan)
    return TemperaturesAhead(
        starts_at=starts_at,
        temp_c=np.stack([nothing if one is None else rows[id(one)] for one in reported]),
        stale=tuple(map(_is_stale, ages_s)),
    )


def covers(report: WeatherReport, starts_at: datetime) -> bool:
    """True if the report covers enough of the horizon."""
    hours = int(HORIZON.total_seconds()) // 3600
    return float(np.isfinite(on_steps(report.temp_c, starts_at, 3600, hours)).mean()) >= MIN_WEATHER


def input_hash(
    inputs: SiteInputs, model: TrainedModel, ahead: IntervalSeries | None, cycle_start: datetime
) -> str:
    """SHA-256 (hex) over everything that determines the forecast."""
    history = inputs.history
    stale = ahead is not None and _is_stale(inputs.weather_age_s)
    digest = sha256(f"{history.facility_id}|{history.tz}|{cycle_start.isoformat()}".encode())
    digest.update(f"|{history.region}|{inputs.sensor_coverage_pct:.2f}|{stale}".encode())
    digest.update(f"|{model.name}|{model.version}|".encode())
    digest.update(model.parameters)
    for series in (history.mean_kw, history.temp_c, ahead):
        digest.update(b"|none" if series is None else canonical(series))
    return digest.hexdigest()


def _is_stale(weather_age_s: float | None) -> bool:
    return weather_age_s is None or weather_age_s > STALE_WEATHER_S


def with_past_weather(temp_c: IntervalSeries, report: WeatherReport | None) -> IntervalSeries:
    """`temp_c`, with missing hours filled from the report."""
    if report is None:
        return temp_c
    reported = on_steps(report.temp_c, temp_c.starts_at, temp_c.step_s, len(temp_c.values))
    return IntervalSeries(
        temp_c.starts_at, temp_c.step_s, np.where(np.isnan(temp_c.values), reported, temp_c.values)
    )


def on_steps(series: IntervalSeries, starts_at: datetime, step_s: int, count: int) -> FloatArray:
    """The value of `series` at the start of each of `count` steps; NaN where it has none."""
    offset_s = (starts_at - series.starts_at).total_seconds() + step_s * np.arange(count)
    index = np.floor(offset_s / series.step_s).astype(np.int64)
    known = (index >= 0) & (index < len(series.values))
    found = np.full(count, np.nan)
    found[known] = series.values[index[known]]
    return found
