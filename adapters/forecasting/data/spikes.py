"""Finds spikes: readings far outside the usual range that return within the hour. They are errors of the meter.

Later steps have no influence. So at first it is unknown whether a step out of range is an error, a new level or a
load that runs rarely: the first hour of each is left out, and what lasts longer is accepted. A value that was
reached on several days belongs to the facility, such as a charger or a pump, and is no spike any more.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY, IntArray
from application.ports.forecast.load_forecaster import RecentBlock
from domain.time_series.windows import FloatArray, IntervalSeries

LOOKBACK_DAYS = 28
LEAST_DAYS = 7
"""With fewer days the usual range is unknown."""
TRIMMED_SHARE = 0.005
"""The share of readings at each end that the usual range excludes, so that errors do not extend it."""
ACCEPTED_AFTER_DAYS = 3
"""A value that was reached on that many days is in the usual range, even if only for minutes each time."""
RANGE_MULTIPLE = 3.0
"""A spike is outside the usual range by more than this multiple of its width."""
LEAST_RANGE = 0.5
"""As a share of the level: the minimum width of the range, for a facility with a constant load."""
UNBOUNDED_KW = (-np.inf, np.inf)
DAY_S = HOURS_A_DAY * HOUR_S


def plausible_range(past_kw: FloatArray, step_s: int) -> tuple[float, float]:
    """The range in which readings are accepted at once, after `past_kw` (n,) in steps of `step_s`; NaN is unknown.

    A load of zero in all that time gives no scale, so everything is accepted.
    """
    a_day = DAY_S // step_s
    last = past_kw[-LOOKBACK_DAYS * a_day :]
    known = np.sort(last[np.isfinite(last)])
    if known.size < LEAST_DAYS * a_day:
        return UNBOUNDED_KW
    seldom = int(TRIMMED_SHARE * known.size)
    low, high = float(known[seldom]), float(known[known.size - 1 - seldom])
    lowest, highest = _range_of_days(last, a_day)
    low, high = min(low, lowest), max(high, highest)
    room = RANGE_MULTIPLE * max(high - low, LEAST_RANGE * max(abs(low), abs(high)))
    return (low - room, high + room) if room else UNBOUNDED_KW


def _range_of_days(values: FloatArray, a_day: int) -> tuple[float, float]:
    """The low and the high that at least ACCEPTED_AFTER_DAYS of the days reach that end with `values`."""
    days = values[len(values) % a_day :].reshape(-1, a_day)
    known = np.isfinite(days)
    lows = np.where(known, days, np.inf).min(axis=1)
    highs = np.where(known, days, -np.inf).max(axis=1)
    last = ACCEPTED_AFTER_DAYS - 1
    return float(np.sort(lows)[last]), float(np.sort(highs)[-1 - last])


def spike_mask(values: FloatArray, low_kw: FloatArray, high_kw: FloatArray, step_s: int) -> NDArray[np.bool_]:
    """The mask of `values` (..., n) that are outside and have been so for no more than an hour; the bounds
    broadcast."""
    outside = (values < low_kw) | (values > high_kw)
    if not outside.any():
        return outside
    places = np.arange(values.shape[-1])
    began = np.maximum.accumulate(np.where(outside, -1, places), axis=-1)
    result: NDArray[np.bool_] = outside & (places - began <= max(HOUR_S // step_s, 1))
    return result


class FilteredRecent(NamedTuple):
    """The recent readings without spikes."""

    recent: RecentBlock
    left_out: IntArray
    """The number of spikes in the last day: shape (facilities,)."""
    unheard: IntArray
    """As BlockQuantiles.unheard: shape (facilities,)."""


def without_spikes(recent: RecentBlock, bounds_kw: FloatArray, before_s: int) -> FilteredRecent:
    """The readings before `before_s` (seconds since 1970); `bounds_kw` (facilities, 2) as of `plausible_range`."""
    low, high = bounds_kw.T[:, :, None]
    spike = spike_mask(recent.mean_kw, low, high, recent.step_s)
    if not spike.any():
        nothing = np.zeros(len(spike), dtype=np.int64)
        return FilteredRecent(recent, nothing, nothing)
    end = max((before_s - int(recent.starts_at.timestamp())) // recent.step_s, 0)
    last_day = slice(max(end - DAY_S // recent.step_s, 0), end)
    clean = msgspec.structs.replace(recent, mean_kw=np.where(spike, np.nan, recent.mean_kw))
    return FilteredRecent(clean, spike[:, last_day].sum(axis=1), _silent_steps(clean.mean_kw, spike, end))


def _silent_steps(mean_kw: FloatArray, spike: NDArray[np.bool_], end: int) -> IntArray:
    """The number of unknown steps (facilities, n) before index `end`, where spikes are among them; else 0."""
    silent = np.logical_and.accumulate(np.isnan(mean_kw[:, :end][:, ::-1]), axis=1)
    has_leapt = (silent & spike[:, :end][:, ::-1]).any(axis=1)
    result: IntArray = np.where(has_leapt, silent.sum(axis=1) + max(end - mean_kw.shape[1], 0), 0)
    return result


def spikes_of_history(series: IntervalSeries) -> NDArray[np.bool_]:
    """As `spike_mask`, for a whole history, with bounds that are recomputed every week."""
    values, step_s = series.values, series.step_s
    week = 7 * DAY_S // step_s
    low, high = np.empty(len(values)), np.empty(len(values))
    for first in range(0, len(values), week):
        part = slice(first, first + week)
        low[part], high[part] = plausible_range(values[:first], step_s)
    return spike_mask(values, low, high, step_s)
