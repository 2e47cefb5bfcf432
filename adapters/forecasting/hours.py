"""Hourly grids and their place in the facility's local week."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from domain.time_windows import FloatArray, IntervalSeries

HOUR_S = 3600
HOURS_A_WEEK = 168

IntArray = NDArray[np.int64]


@lru_cache(maxsize=256)
def local_seconds(starts_at: datetime, step_s: int, count: int, tz: ZoneInfo) -> IntArray:
    """Seconds since Monday 00:00 local of each step's start, shape (count,); the wall clock's, DST included.

    The facilities of a cycle mostly share it, hence the cache; the array is read-only.
    """
    seconds = np.empty(count, dtype=np.int64)
    for index in range(count):
        local = (starts_at + timedelta(seconds=index * step_s)).astimezone(tz)
        seconds[index] = local.weekday() * 86_400 + local.hour * HOUR_S + local.minute * 60
    seconds.flags.writeable = False
    return seconds


def hour_floor(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def sampled(series: IntervalSeries, starts_at: datetime, step_s: int, count: int) -> FloatArray:
    """The value of `series` at the start of each of `count` steps, NaN where it knows nothing."""
    offset_s = (starts_at - series.starts_at).total_seconds() + step_s * np.arange(count)
    index = np.floor(offset_s / series.step_s).astype(np.int64)
    known = (index >= 0) & (index < len(series.values))
    found = np.full(count, np.nan)
    found[known] = series.values[index[known]]
    return found


def block_means(values: FloatArray, size: int) -> FloatArray:
    """Means of consecutive blocks of `size` values, shape (n // size,); NaN where half or more are missing."""
    blocks = values[: len(values) // size * size].reshape(-1, size)
    known = np.isfinite(blocks)
    count = known.sum(axis=1)
    total = np.where(known, blocks, 0.0).sum(axis=1)
    return np.where(count * 2 > size, total / np.maximum(count, 1), np.nan)


def without_gaps(values: FloatArray) -> FloatArray:
    """Missing values interpolated between (and beyond) the known ones; at least one must be known."""
    known = np.isfinite(values)
    places = np.arange(len(values))
    return np.interp(places, places[known], values[known])
