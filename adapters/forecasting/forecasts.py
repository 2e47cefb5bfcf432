"""Computes the forecasts of a block of facilities at one origin, from their parameters and the readings since."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.before_origin import MAX_RECENT_H, Origin, OriginInputs, windows
from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY, IntArray, hours_of_week
from adapters.forecasting.calendar.public_holidays import region_of
from adapters.forecasting.data.hourly import on_grid
from adapters.forecasting.data.spikes import without_spikes
from adapters.forecasting.ensemble.bounds import clip_to_range
from adapters.forecasting.ensemble.conformal import last_day_coverage, widened_by_gaps
from adapters.forecasting.ensemble.fitted_batch import (
    FULL,
    NO_WEATHER,
    YESTERDAYS_WEATHER,
    FittedBatch,
    Window,
)
from adapters.forecasting.ensemble.parameters import Block
from adapters.forecasting.ensemble.within_hour import StepShape, in_steps
from adapters.forecasting.models.naive_methods import without_gaps
from adapters.forecasting.models.temperature_columns import columns, forward_filled, smoothed
from application.ports.forecast.load_forecaster import BlockQuantiles, RecentBlock, TemperaturesAhead
from domain.time_series.windows import FloatArray

LEAST_TEMPERATURES = 0.7
"""The share of the horizon's temperatures that must be known for weather to be used."""
OLDEST_H = 2 * 168
"""A facility without readings for longer is forecast as if for this long."""


def block_quantiles(
    block: Block,
    recent: RecentBlock,
    starts_at: datetime,
    steps: int,
    temperatures: TemperaturesAhead | None,
) -> BlockQuantiles:
    """The quantiles of `steps` steps from `starts_at` on, for every facility of `block` and `recent`."""
    origin = Origin(int(starts_at.timestamp()))
    recent, left_out, unheard = without_spikes(recent, block.values["believed_kw"], origin.at_s)
    hours = -(-steps * recent.step_s // HOUR_S)
    inputs = _origin_inputs(block, recent, origin, hours, temperatures)
    mean_kw = block.fitted_batch().means.fitted(inputs.week, inputs.columns)
    load_kw, residual_kw = windows(block, recent, origin, inputs.back, mean_kw)
    ages = _ages(load_kw)
    used = inputs.has_weather & (block.values["climate_known"][:, 0] > 0)
    stale = np.zeros(len(ages), dtype=np.bool_)
    if temperatures is not None and temperatures.stale:
        stale = np.array(temperatures.stale)
    ahead = slice(inputs.back, None)
    whole = Window(
        load_kw=_without_gaps(load_kw, block),
        residual_kw=residual_kw,
        week=inputs.week[:, ahead],
        columns=inputs.columns[:, ahead],
        phase=origin.phase,
    )
    result = _by_age(block, whole, mean_kw[:, :, ahead], ages, used, stale)
    known = last_day_coverage(load_kw)
    if recent.coverage:
        known = np.array(recent.coverage) - left_out * recent.step_s / (HOURS_A_DAY * HOUR_S)
    result = widened_by_gaps(result, known, ages)
    shape_kw = _shape(mean_kw[:, :, ahead], used)
    shape = StepShape(block.values["within_hour_kw"], block.values["within_hour_sd_kw"])
    kw = in_steps(shape, result, shape_kw, inputs.week[:, ahead], phase=origin.phase, step_s=recent.step_s)
    lowest_kw, highest_kw = block.values["reach_kw"].T[:, :, None]
    return BlockQuantiles(
        kw=clip_to_range(kw[:, :, :steps], lowest_kw, highest_kw),
        used_weather=tuple((used & np.array(block.is_model)).tolist()),
        ages_h=tuple(ages.tolist()),
        left_out=tuple(left_out.tolist()),
        unheard=tuple(unheard.tolist()),
    )


def _without_gaps(load_kw: FloatArray, block: Block) -> FloatArray:
    """As in naive_methods; the stored past is read only where a mean is needed."""
    if np.isfinite(load_kw).all():
        return load_kw
    return without_gaps(load_kw, _mean(np.stack([past_kw[0] for past_kw in block.past_kw])))


def _by_age(  # noqa: PLR0917 - a batch in columns
    block: Block,
    whole: Window,
    mean_kw: FloatArray,
    ages: IntArray,
    used_weather: NDArray[np.bool_],
    stale: NDArray[np.bool_],
) -> FloatArray:
    """As _quantiles, for facilities whose data is `ages` hours old."""
    result = np.empty((3, len(ages), whole.hours))
    for age_h in np.unique(ages).tolist():
        rows = np.flatnonzero(ages == age_h)
        own: slice | IntArray = slice(None) if len(rows) == len(ages) else rows
        window = whole.of(own, age_h)
        result[:, own] = _quantiles(
            block.fitted_batch(own), window, mean_kw[:, own], used_weather[own], stale[own]
        )
    return result


def _quantiles(
    fitted_batch: FittedBatch,
    window: Window,
    mean_kw: FloatArray,
    used_weather: NDArray[np.bool_],
    stale: NDArray[np.bool_],
) -> FloatArray:
    """Shape (3, facilities, hours), hourly; `mean_kw` as of FittedBatch.candidates."""
    candidates_kw = fitted_batch.candidates(window, mean_kw)
    modes = np.where(used_weather, np.where(stale, YESTERDAYS_WEATHER, FULL), NO_WEATHER)
    result = np.empty((3, *candidates_kw.shape[1:]))
    for mode in np.unique(modes).tolist():
        middle = fitted_batch.combine(candidates_kw, mode, window.age_h)
        low, high = fitted_batch.error_interval(window, mode)
        quantiles = np.stack([middle + low, middle, middle + high])
        result = np.where((modes == mode)[:, None], quantiles, result)
    return result


def _origin_inputs(
    block: Block,
    recent: RecentBlock,
    origin: Origin,
    horizon: int,
    temperatures: TemperaturesAhead | None,
) -> OriginInputs:
    since = origin.hour - min(block.ends_hour)
    back = min(max(since, 1), MAX_RECENT_H)
    first, count = origin.hour - back, back + horizon + 1
    places = list(zip(recent.tz, recent.regions, strict=True))
    weeks = {place: hours_of_week(first, count, place[0], region_of(*place)) for place in set(places)}
    week = np.stack([weeks[place] for place in places])
    past_s = int(recent.starts_at.timestamp())
    temp_c = np.full(week.shape, np.nan)
    temp_c[:, :back] = on_grid(recent.temp_c, past_s, recent.step_s, first * HOUR_S, HOUR_S, back)
    if temperatures is not None:
        forecast_start_s = int(temperatures.starts_at.timestamp())
        forecast_c = on_grid(temperatures.temp_c, forecast_start_s, HOUR_S, first * HOUR_S, HOUR_S, count)
        temp_c = np.where(np.isfinite(temp_c), temp_c, forecast_c)
    has_weather = np.isfinite(temp_c[:, back : back + horizon]).mean(axis=1) >= LEAST_TEMPERATURES
    # For each facility only the readings since its own history ended: its forecast must not depend on the others.
    ends = np.minimum(np.array(block.ends_hour), origin.hour)[:, None] - first
    hours = np.arange(count)
    temp_c = forward_filled(np.where(hours < np.minimum(ends, back - 1), np.nan, temp_c))
    fitted_batch = block.fitted_batch()
    smooth = smoothed(np.where(hours < ends, np.nan, temp_c), block.values["smooth_c"][:, 0])
    return OriginInputs(back, week, columns(fitted_batch.climate, week, temp_c, smooth), has_weather)


def _mean(load_kw: FloatArray) -> FloatArray:
    """The mean of the known load of each facility, 0 where nothing is known: shape (facilities,)."""
    known = np.isfinite(load_kw)
    result: FloatArray = np.where(known, load_kw, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return result


def _ages(load_kw: FloatArray) -> IntArray:
    """The number of last hours that are unknown: shape (facilities,)."""
    known = np.isfinite(load_kw[:, ::-1])
    result: IntArray = np.where(known.any(axis=1), np.argmax(known, axis=1), OLDEST_H)
    return np.minimum(result, OLDEST_H)


def _shape(mean_kw: FloatArray, used_weather: NDArray[np.bool_]) -> FloatArray:
    """The means (members, facilities, hours + 1) of the clock hours ahead that determine the pattern within an
    hour."""
    result: FloatArray = np.where(used_weather[:, None] & np.isfinite(mean_kw[0]), mean_kw[0], mean_kw[-1])
    return result
