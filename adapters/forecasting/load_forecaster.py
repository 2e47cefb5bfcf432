"""The load forecaster: a mean model with and without weather, corrected by its latest errors."""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from adapters.forecasting.hours import (
    HOUR_S,
    IntArray,
    block_means,
    hour_floor,
    local_seconds,
    sampled,
    without_gaps,
)
from adapters.forecasting.mean_model import MeanModel, fit_mean, mean_kw
from adapters.forecasting.residual_correction import (
    HORIZONS_H,
    Correction,
    corrections,
    fit_correction,
    spread,
)
from application.ports.load_forecaster import (
    RECENT_DAYS,
    FacilityHistory,
    LoadQuantiles,
    TooLittleHistory,
    TrainedModel,
)
from domain.time_windows import FloatArray, IntervalSeries

LEAST_HOURS = 24
LONGEST_TRAINING_H = 3 * 365 * 24
LEAST_TEMPERATURES = 0.7
QUARTERS_A_DAY = 96


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A mean model and the correction of its errors."""

    mean: MeanModel
    correction: Correction


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """All that training found out."""

    with_weather: Member | None
    without_weather: Member
    within_hour_kw: list[float]
    """Quarter-hour less its hour, by quarter of the day, on working days and then on weekends: 192 values."""
    highest_kw: float
    lowest_kw: float


class StatsmodelsLoadForecaster:
    """Implements LoadForecaster; see the package's modules for the model."""

    NAME = "time-of-week-and-temperature"
    FALLBACK_NAME = "time-of-day"
    VERSION = "1"

    def train(self, history: FacilityHistory, *, at: datetime) -> TrainedModel:
        """On hourly means; from one day of them on, weekly patterns and weather from two weeks on."""
        tz = ZoneInfo(history.tz)
        hours = min(
            int((history.mean_kw.ends_at - history.mean_kw.starts_at) / timedelta(hours=1)),
            LONGEST_TRAINING_H,
        )
        starts_at = hour_floor(history.mean_kw.ends_at) - timedelta(hours=hours)
        load_kw, temp_c, quarters_kw = _hourly(history, starts_at, hours)
        known = int(np.isfinite(load_kw).sum())
        if known < LEAST_HOURS:
            raise TooLittleHistory(
                f"{known} hours of load are known of {history.facility_id}, a forecast needs {LEAST_HOURS}; "
                "import history, or wait"
            )
        hour_of_week = local_seconds(starts_at, HOUR_S, hours, tz) // HOUR_S
        without = _member(hour_of_week, load_kw, None)
        weather = _member(hour_of_week, load_kw, temp_c)
        parameters = Parameters(
            with_weather=weather if weather.mean.uses_weather else None,
            without_weather=without,
            within_hour_kw=_within_hour(quarters_kw, hour_of_week).tolist(),
            highest_kw=float(np.nanmax(quarters_kw)),
            lowest_kw=float(np.nanmin(quarters_kw)),
        )
        return TrainedModel(
            name=self.NAME if without.mean.weekly else self.FALLBACK_NAME,
            version=self.VERSION,
            trained_at=at,
            uses_weather=parameters.with_weather is not None,
            parameters=msgspec.msgpack.encode(parameters),
        )

    def forecast(
        self,
        model: TrainedModel,
        recent: FacilityHistory,
        *,
        starts_at: datetime,
        steps: int,
        temperatures: IntervalSeries | None,
    ) -> LoadQuantiles:
        """The mean of the hour, plus the correction of its hour after the origin, plus the quarter's own shape."""
        step_s = recent.mean_kw.step_s
        per_hour = HOUR_S // step_s
        hours = -(-steps // per_hour)
        if hours > HORIZONS_H or HOUR_S % step_s:
            raise ValueError(
                f"at most {HORIZONS_H} hours of steps that divide an hour, not {steps} of {step_s} s"
            )
        parameters = _decoded(model.parameters)
        back = RECENT_DAYS * 24
        origin = starts_at - timedelta(hours=back)
        temp_c = _temperatures(recent, temperatures, origin, back, hours)
        member = parameters.with_weather if temp_c is not None else None
        used = member or parameters.without_weather
        tz = ZoneInfo(recent.tz)
        local_s = local_seconds(origin, step_s, (back + hours) * per_hour, tz)
        expected_kw = _expected(parameters, used.mean, local_s, per_hour, temp_c if member else None)
        past = back * per_hour
        metered_kw = sampled(recent.mean_kw, origin, step_s, past)
        residual = block_means(metered_kw - expected_kw[:past], per_hour)
        correction_kw = np.repeat(corrections(used.correction, residual, hours), per_hour)
        ahead = (local_s[past:] // HOUR_S)[::per_hour]
        errors_kw = np.repeat(spread(used.correction, ahead), per_hour, axis=1)
        quantiles = _within_reach(parameters, expected_kw[past:] + correction_kw + errors_kw)[:, :steps]
        return LoadQuantiles(
            p10_kw=quantiles[0], p50_kw=quantiles[1], p90_kw=quantiles[2], used_weather=member is not None
        )


@lru_cache(maxsize=4096)
def _decoded(parameters: bytes) -> Parameters:
    return msgspec.msgpack.decode(parameters, type=Parameters)


def _member(hour_of_week: IntArray, load_kw: FloatArray, temp_c: FloatArray | None) -> Member:
    fitted = fit_mean(hour_of_week, load_kw, temp_c)
    return Member(mean=fitted.model, correction=fit_correction(hour_of_week, fitted.residual_kw))


def _hourly(
    history: FacilityHistory, starts_at: datetime, hours: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Hourly load and temperature, shape (hours,), and the load's steps, shape (hours, steps an hour)."""
    per_hour = HOUR_S // history.mean_kw.step_s
    load = sampled(history.mean_kw, starts_at, history.mean_kw.step_s, hours * per_hour)
    warm = sampled(history.temp_c, starts_at, history.mean_kw.step_s, hours * per_hour)
    return block_means(load, per_hour), block_means(warm, per_hour), load.reshape(hours, per_hour)


def _within_hour(quarters_kw: FloatArray, hour_of_week: IntArray) -> FloatArray:
    """The shrunk mean of each quarter less its hour; zeros where the load is known by the hour only."""
    if quarters_kw.shape[1] != 4:
        return np.zeros(2 * QUARTERS_A_DAY)
    complete = np.isfinite(quarters_kw).all(axis=1)
    apart = quarters_kw[complete] - quarters_kw[complete].mean(axis=1, keepdims=True)
    hour = hour_of_week[complete]
    first = (hour % 24) * 4 + QUARTERS_A_DAY * (hour >= 5 * 24)
    place = (first[:, None] + np.arange(4)).ravel()
    count = np.bincount(place, minlength=2 * QUARTERS_A_DAY)
    total = np.bincount(place, weights=apart.ravel(), minlength=2 * QUARTERS_A_DAY)
    found: FloatArray = total / (count + 4.0)
    return found


def _temperatures(
    recent: FacilityHistory, ahead: IntervalSeries | None, origin: datetime, back: int, hours: int
) -> FloatArray | None:
    """Hourly, from `back` hours before the start to the horizon; None where too little is known of either."""
    if ahead is None:
        return None
    past_c = sampled(recent.temp_c, origin, HOUR_S, back)
    told_c = sampled(ahead, origin, HOUR_S, back + hours)
    found = np.concatenate([np.where(np.isfinite(past_c), past_c, told_c[:back]), told_c[back:]])
    for part in (found[:back], found[back:]):
        if np.isfinite(part).mean() < LEAST_TEMPERATURES:
            return None
    return without_gaps(found)


def _expected(
    parameters: Parameters, mean: MeanModel, local_s: IntArray, per_hour: int, temp_c: FloatArray | None
) -> FloatArray:
    """The mean model at each step: the step's own hour of the week, and its place within the hour."""
    hour_of_week = local_s // HOUR_S
    # Hours begin at the origin's minute, so a step's clock hour can be that of the block or the next one.
    steps = np.arange(len(local_s))
    found = np.empty(len(local_s))
    for phase in range(per_hour):
        chosen = steps % per_hour == phase
        found[chosen] = mean_kw(mean, hour_of_week[chosen], temp_c)
    if per_hour == 4:
        quarter = (local_s % 86_400) // (HOUR_S // 4) + QUARTERS_A_DAY * (hour_of_week >= 5 * 24)
        found += np.array(parameters.within_hour_kw)[quarter]
    return found


def _within_reach(parameters: Parameters, kw: FloatArray) -> FloatArray:
    """Bounded to what the facility was ever seen to draw, with room for a fifth of that range beyond."""
    room = 0.2 * (parameters.highest_kw - parameters.lowest_kw)
    floor = parameters.lowest_kw - room
    bounded: FloatArray = np.clip(
        kw, max(floor, 0.0) if parameters.lowest_kw >= 0 else floor, parameters.highest_kw + room
    )
    return bounded
