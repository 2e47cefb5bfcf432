"""Time spans of many meters, and their parts in each of the fifteen minutes of a quarter-hour."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.telemetry.intervals import INTERVAL_S

MINUTE_S = 60
MINUTES = INTERVAL_S // MINUTE_S

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class MinuteSpans(msgspec.Struct, frozen=True, eq=False):
    """Arrays of one length: the meter of each span, its start and its end in seconds after the quarter-hour's
    start.
    """

    meter: IntArray
    starts: FloatArray
    ends: FloatArray

    def chosen(self, which: NDArray[np.bool_]) -> "MinuteSpans":
        return MinuteSpans(self.meter[which], self.starts[which], self.ends[which])

    def spread(self, rate: FloatArray, meters: int) -> FloatArray:
        """`rate` x seconds of each span, divided over the minutes that it covers; shape (meters, 15)."""
        a, b = np.clip(self.starts, 0.0, INTERVAL_S), np.clip(self.ends, 0.0, INTERVAL_S)
        some = b > a
        a, b, meter, rate = a[some], b[some], self.meter[some], rate[some]
        first = (a // MINUTE_S).astype(np.int64)
        last = np.ceil(b / MINUTE_S).astype(np.int64) - 1
        head_s = np.minimum(b, (first + 1) * MINUTE_S) - a
        total = by_minute(meter * MINUTES + first, rate * head_s, meters)
        longer = last > first
        if longer.any():
            meter, rate, b = meter[longer], rate[longer], b[longer]
            first, last = first[longer], last[longer]
            total += by_minute(meter * MINUTES + last, rate * (b - last * MINUTE_S), meters)
            between = last - first - 1
            index = np.arange(int(between.sum())) - np.repeat(np.cumsum(between) - between, between)
            cells = np.repeat(meter * MINUTES + first + 1, between) + index
            total += by_minute(cells, np.repeat(rate * MINUTE_S, between), meters)
        return total


def by_minute(cells: IntArray, values: FloatArray, meters: int) -> FloatArray:
    """The sums of `values` by cell (meter x 15 + minute), shape (meters, 15)."""
    return summed_by(cells, values, meters * MINUTES).reshape(meters, MINUTES)


def summed_by(cells: IntArray, values: NDArray[np.generic], length: int) -> FloatArray:
    """The sums of `values` by cell 0 .. length-1, in their order."""
    return np.asarray(np.bincount(cells, weights=values, minlength=length), np.float64)


def lowest_by(cells: IntArray, values: FloatArray, length: int) -> FloatArray:
    """The lowest of `values` by cell 0 .. length-1, infinite if there is none. `cells` ascend; NaN is
    ignored.
    """
    result = np.full(length, np.inf)
    firsts = np.flatnonzero(np.diff(cells, prepend=-1))
    if len(firsts):
        lowest = np.fmin.reduceat(values, firsts)
        result[cells[firsts]] = np.where(np.isnan(lowest), np.inf, lowest)
    return result


def highest_by(cells: IntArray, values: FloatArray, length: int) -> FloatArray:
    """The highest of `values` by cell, minus infinity if there is none."""
    return -lowest_by(cells, -values, length)
