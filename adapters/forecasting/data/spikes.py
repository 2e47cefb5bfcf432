"""Readings that leap far out of all that a facility draws and are back within the hour: a meter's fault, not the load.

Nothing ahead of a step decides on it. So it is not known at first whether a leap is a fault, a new level or a load that
runs seldom: of each leap the first hour is left out, and what goes on for longer is believed. What came on several days
belongs to the facility, as a charger or a pump, and is no leap any more.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY, IntArray
from application.ports.forecast.load_forecaster import RecentBlock
from domain.time_series.windows import FloatArray, IntervalSeries

LOOKED_BACK_DAYS = 28
LEAST_DAYS = 7
"""What a facility draws is not known from less."""
SELDOM = 0.005
"""Its usual range is that of all readings but so many at each end, so that faults do not stretch it."""
BELONGS_AFTER_DAYS = 3
"""What was reached on so many days is within the usual range all the same, if only for minutes each time."""
ROOM = 3.0
"""A leap goes beyond its usual range by more than so many times that range."""
LEAST_RANGE = 0.5
"""As a share of the level: of a facility that draws the same all day, the range is taken to be so wide."""
EVERYTHING = (-np.inf, np.inf)
DAY_S = HOURS_A_DAY * HOUR_S


def believed(past_kw: FloatArray, step_s: int) -> tuple[float, float]:
    """Between what readings are believed at once, after `past_kw` (n,) in steps of `step_s`; NaN is not known.

    A facility that drew nothing in all that time gives no measure of what it may draw: everything is believed.
    """
    a_day = DAY_S // step_s
    last = past_kw[-LOOKED_BACK_DAYS * a_day :]
    known = np.sort(last[np.isfinite(last)])
    if known.size < LEAST_DAYS * a_day:
        return EVERYTHING
    seldom = int(SELDOM * known.size)
    low, high = float(known[seldom]), float(known[known.size - 1 - seldom])
    lowest, highest = _of_days(last, a_day)
    low, high = min(low, lowest), max(high, highest)
    room = ROOM * max(high - low, LEAST_RANGE * max(abs(low), abs(high)))
    return (low - room, high + room) if room else EVERYTHING


def _of_days(values: FloatArray, a_day: int) -> tuple[float, float]:
    """How low and how high at least BELONGS_AFTER_DAYS days reach, those that end with `values`."""
    days = values[len(values) % a_day :].reshape(-1, a_day)
    known = np.isfinite(days)
    lows = np.where(known, days, np.inf).min(axis=1)
    highs = np.where(known, days, -np.inf).max(axis=1)
    last = BELONGS_AFTER_DAYS - 1
    return float(np.sort(lows)[last]), float(np.sort(highs)[-1 - last])


def leaps(values: FloatArray, low_kw: FloatArray, high_kw: FloatArray, step_s: int) -> NDArray[np.bool_]:
    """Which of `values` (..., n) are outside, and have been so for no more than an hour; bounds that broadcast."""
    outside = (values < low_kw) | (values > high_kw)
    if not outside.any():
        return outside
    places = np.arange(values.shape[-1])
    began = np.maximum.accumulate(np.where(outside, -1, places), axis=-1)
    found: NDArray[np.bool_] = outside & (places - began <= max(HOUR_S // step_s, 1))
    return found


class Heard(NamedTuple):
    """What is recently known, without the leaps in it."""

    recent: RecentBlock
    left_out: IntArray
    """How many steps of the last day leapt: shape (facilities,)."""
    unheard: IntArray
    """As BlockQuantiles.unheard: shape (facilities,)."""


def without_leaps(recent: RecentBlock, bounds_kw: FloatArray, before_s: int) -> Heard:
    """As known before `before_s` (seconds since 1970); `bounds_kw` (facilities, 2) as of `believed`."""
    low, high = bounds_kw.T[:, :, None]
    leapt = leaps(recent.mean_kw, low, high, recent.step_s)
    if not leapt.any():
        nothing = np.zeros(len(leapt), dtype=np.int64)
        return Heard(recent, nothing, nothing)
    end = max((before_s - int(recent.starts_at.timestamp())) // recent.step_s, 0)
    last_day = slice(max(end - DAY_S // recent.step_s, 0), end)
    clean = msgspec.structs.replace(recent, mean_kw=np.where(leapt, np.nan, recent.mean_kw))
    return Heard(clean, leapt[:, last_day].sum(axis=1), _unheard(clean.mean_kw, leapt, end))


def _unheard(mean_kw: FloatArray, leapt: NDArray[np.bool_], end: int) -> IntArray:
    """How many steps (facilities, n) before index `end` are not known, where leaps are among them; else 0."""
    silent = np.logical_and.accumulate(np.isnan(mean_kw[:, :end][:, ::-1]), axis=1)
    has_leapt = (silent & leapt[:, :end][:, ::-1]).any(axis=1)
    found: IntArray = np.where(has_leapt, silent.sum(axis=1) + max(end - mean_kw.shape[1], 0), 0)
    return found


def spikes(series: IntervalSeries) -> NDArray[np.bool_]:
    """As `leaps`, of a whole history, the bounds looked at afresh every week."""
    values, step_s = series.values, series.step_s
    week = 7 * DAY_S // step_s
    low, high = np.empty(len(values)), np.empty(len(values))
    for first in range(0, len(values), week):
        part = slice(first, first + week)
        low[part], high[part] = believed(values[:first], step_s)
    return leaps(values, low, high, step_s)
