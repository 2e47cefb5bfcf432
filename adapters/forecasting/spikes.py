"""Readings that leap far out of all that a facility draws and are back within the hour: a meter's fault, not the load.

Nothing ahead of a step decides on it. So it is not known at first whether a leap is one reading or a new level: of each
leap the first hour is left out, and what goes on for longer is believed.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.local_week import HOUR_S, HOURS_A_DAY, IntArray
from application.ports.load_forecaster import RecentBlock
from domain.time_windows import FloatArray, IntervalSeries

LOOKED_BACK_DAYS = 28
LEAST_DAYS = 7
"""What a facility draws is not known from less."""
SELDOM = 0.005
"""Its usual range is that of all readings but so many at each end, so that faults do not stretch it."""
ROOM = 3.0
"""A leap goes beyond its usual range by more than so many times that range."""
LEAST_RANGE = 0.5
"""As a share of the level: of a facility that draws the same all day, the range is taken to be so wide."""
EVERYTHING = (-np.inf, np.inf)
DAY_S = HOURS_A_DAY * HOUR_S


def believed(past_kw: FloatArray, step_s: int) -> tuple[float, float]:
    """Between what readings are believed at once, after `past_kw` (n,) in steps of `step_s`; NaN is not known."""
    last = past_kw[-(LOOKED_BACK_DAYS * DAY_S // step_s) :]
    known = np.sort(last[np.isfinite(last)])
    if known.size < LEAST_DAYS * DAY_S // step_s:
        return EVERYTHING
    seldom = int(SELDOM * known.size)
    low, high = float(known[seldom]), float(known[known.size - 1 - seldom])
    room = ROOM * max(high - low, LEAST_RANGE * max(abs(low), abs(high)))
    return low - room, high + room


def leaps(values: FloatArray, low_kw: FloatArray, high_kw: FloatArray, step_s: int) -> NDArray[np.bool_]:
    """Which of `values` (..., n) are outside, and have been so for no more than an hour; bounds that broadcast."""
    outside = (values < low_kw) | (values > high_kw)
    if not outside.any():
        return outside
    places = np.arange(values.shape[-1])
    began = np.maximum.accumulate(np.where(outside, -1, places), axis=-1)
    found: NDArray[np.bool_] = outside & (places - began <= max(HOUR_S // step_s, 1))
    return found


def without_leaps(recent: RecentBlock, bounds_kw: FloatArray, before_s: int) -> tuple[RecentBlock, IntArray]:
    """What is recently known without the leaps in it, and how many of the day before `before_s` (seconds since 1970)
    these were (facilities,); `bounds_kw` (facilities, 2) as of `believed`."""
    low, high = bounds_kw.T[:, :, None]
    leapt = leaps(recent.mean_kw, low, high, recent.step_s)
    if not leapt.any():
        return recent, np.zeros(len(leapt), dtype=np.int64)
    end = (before_s - int(recent.starts_at.timestamp())) // recent.step_s
    last_day = slice(max(end - DAY_S // recent.step_s, 0), max(end, 0))
    clean = msgspec.structs.replace(recent, mean_kw=np.where(leapt, np.nan, recent.mean_kw))
    return clean, leapt[:, last_day].sum(axis=1)


def spikes(series: IntervalSeries) -> NDArray[np.bool_]:
    """As `leaps`, of a whole history, the bounds looked at afresh every week."""
    values, step_s = series.values, series.step_s
    week = 7 * DAY_S // step_s
    low, high = np.empty(len(values)), np.empty(len(values))
    for first in range(0, len(values), week):
        part = slice(first, first + week)
        low[part], high[part] = believed(values[:first], step_s)
    return leaps(values, low, high, step_s)
