"""Resamples histories to a grid of whole UTC hours, and finds stuck meters."""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOUR_S
from domain.time_series.windows import FloatArray, IntervalSeries

QUARTER_S = 900
STUCK_FOR_H = 24
"""A meter that repeats exactly one value for longer is stuck."""


def hour_of(moment: datetime) -> int:
    """The clock hour (since 1970, UTC) of `moment`."""
    return int(moment.timestamp() // HOUR_S)


def on_steps(series: IntervalSeries, first_s: int, step_s: int, count: int) -> FloatArray:
    """As `on_grid`, of one series: shape (count,)."""
    starts_s = int(series.starts_at.timestamp())
    return on_grid(series.values, starts_s, series.step_s, first_s, step_s, count)


def on_grid(  # noqa: PLR0917 - two grids: from, to
    values: FloatArray, starts_s: int, own_s: int, first_s: int, step_s: int, count: int
) -> FloatArray:
    """Resample values (..., n) in steps of `own_s` to `count` steps of `step_s` from `first_s` (seconds since 1970)
    on.

    Means of shorter steps, copies of longer ones; NaN where half or more of a step is unknown.
    """
    if own_s < step_s:
        parts = step_s // own_s
        fine = on_grid(values, starts_s, own_s, first_s, own_s, count * parts)
        return means(fine.reshape(*values.shape[:-1], count, parts))
    index = (first_s - starts_s + step_s * np.arange(count)) // own_s
    # The known values are contiguous, and copying a slice is faster than indexing.
    begin, end = np.searchsorted(index, (0, values.shape[-1])).tolist()
    result = np.full((*values.shape[:-1], count), np.nan)
    if own_s == step_s and begin < end:
        result[..., begin:end] = values[..., index[begin] : index[begin] + end - begin]
    else:
        result[..., begin:end] = values[..., index[begin:end]]
    return result


def means(parts: FloatArray) -> FloatArray:
    """Means over the last axis; NaN where half or more are missing."""
    known = np.isfinite(parts)
    count = known.sum(axis=-1)
    total = np.where(known, parts, 0.0).sum(axis=-1)
    return np.where(count * 2 > parts.shape[-1], total / np.maximum(count, 1), np.nan)


def stuck(values: FloatArray, step_s: int) -> NDArray[np.bool_]:
    """The steps that repeat one value for STUCK_FOR_H or more; shape (..., n).

    Later steps have no influence. A facility that draws the same most of the time is not a stuck meter.
    """
    known = np.isfinite(values)
    same = np.zeros(values.shape, dtype=np.bool_)
    same[..., 1:] = known[..., 1:] & (values[..., 1:] == values[..., :-1])
    places = np.arange(values.shape[-1])
    since = places - np.maximum.accumulate(np.where(same, 0, places), axis=-1)
    still = since >= STUCK_FOR_H * HOUR_S // step_s
    # Its first day is classified only at its end; by then most of the day has moved, or not.
    return still & (np.cumsum(same, axis=-1) * 2 < np.cumsum(known, axis=-1))


def stuck_steps(series: IntervalSeries) -> NDArray[np.bool_]:
    """As `stuck`, also where the hours repeat a value although most quarters do: those of an hourly history."""
    marked = stuck(series.values, series.step_s)
    if series.step_s >= HOUR_S:
        return marked
    first = hour_of(series.starts_at)
    by_hour = on_steps(series, first * HOUR_S, HOUR_S, hour_of(series.ends_at) + 1 - first)
    starts_s = int(series.starts_at.timestamp()) + series.step_s * np.arange(len(series.values))
    result: NDArray[np.bool_] = marked | stuck(by_hour, HOUR_S)[starts_s // HOUR_S - first]
    return result


def trailing_stuck_h(values: FloatArray) -> int:
    """The number of last hours (n,) with one value, where it is STUCK_FOR_H or more and not most; else 0."""
    moved = np.flatnonzero(values != values[-1])
    still = len(values) - 1 - int(moved[-1]) if moved.size else len(values)
    return still if STUCK_FOR_H <= still <= len(values) // 2 else 0


def spans(marked: NDArray[np.bool_], starts_at: datetime, step_s: int) -> list[tuple[datetime, datetime]]:
    """The marked stretches, as (start, end)."""
    edges = np.flatnonzero(np.diff(np.pad(marked.astype(np.int8), 1)))
    step = timedelta(seconds=step_s)
    return [
        (
            (starts_at + step * int(first)).astimezone(UTC),
            (starts_at + step * int(last)).astimezone(UTC),
        )
        for first, last in edges.reshape(-1, 2)
    ]
