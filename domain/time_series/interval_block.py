"""Interval series of many facilities on one grid, filled from stored intervals of any step.

* A metered interval counts if at least half of it was covered; otherwise the imported one does. Without
  either: NaN.
* An interval with a longer step (hourly files) provides its mean kW for each step that it contains, flagged
  `expanded`; a shorter interval always overrides a longer one.
* Intervals with a shorter step are averaged if all of them are present.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.time_series.windows import IntervalSeries, NotAligned, TimeWindow

MIN_COVERAGE_PCT = 50.0
LONGEST_STEP_S = 86_400

FloatArray = NDArray[np.float64]


class StoredIntervals(msgspec.Struct, frozen=True, eq=False):
    """Stored intervals, one per index: arrays of one length, NaN if a value is missing."""

    facility_index: NDArray[np.int64]
    offset_s: NDArray[np.int64]
    """The start, in seconds after the window's start; may be negative."""
    step_s: NDArray[np.int64]
    mean_kw: FloatArray
    temp_c: FloatArray
    coverage_pct: FloatArray
    metered: NDArray[np.bool_]


class IntervalBlock(msgspec.Struct, frozen=True, eq=False):
    """`facility_ids` x consecutive steps of `step_s` seconds from `starts_at` on; NaN if missing."""

    facility_ids: tuple[str, ...]
    starts_at: datetime
    step_s: int
    mean_kw: FloatArray
    """Shape (facilities, steps), kW."""
    temp_c: FloatArray
    coverage_pct: FloatArray
    """0 .. 100; 100 for an imported value, 0 without any. Below MIN_COVERAGE_PCT, mean_kw is NaN."""
    expanded: NDArray[np.bool_]
    """Whether the value comes from a longer interval around the step."""

    def series(self, facility_id: str) -> IntervalSeries:
        """Mean kW per step. Raises KeyError for a facility that is not in the block."""
        return IntervalSeries(self.starts_at, self.step_s, self.mean_kw[self._row(facility_id)])

    def temperatures(self, facility_id: str) -> IntervalSeries:
        """Outdoor temperature per step, degrees Celsius. Raises KeyError."""
        return IntervalSeries(self.starts_at, self.step_s, self.temp_c[self._row(facility_id)])

    def _row(self, facility_id: str) -> int:
        try:
            return self.facility_ids.index(facility_id)
        except ValueError:
            raise KeyError(facility_id) from None


def steps_in(window: TimeWindow, step_s: int) -> int:
    """The number of steps in `window`. Raises NotAligned if it is not a whole number."""
    count, rest = divmod(window.duration_s, step_s)
    if rest:
        raise NotAligned(f"the window of {window.duration_s:g} s is no whole number of {step_s} s steps")
    return int(count)


def block_of(
    facility_ids: Sequence[str], window: TimeWindow, step_s: int, stored: StoredIntervals
) -> IntervalBlock:
    """The grid of `window` filled from `stored`. Raises NotAligned."""
    shape = (len(facility_ids), steps_in(window, step_s))
    block = IntervalBlock(
        tuple(facility_ids),
        window.starts_at,
        step_s,
        np.full(shape, np.nan),
        np.full(shape, np.nan),
        np.zeros(shape),
        np.zeros(shape, dtype=np.bool_),
    )
    # Later values override earlier ones: imported before metered, and within each the longest step first.
    for metered in (False, True):
        for length_s in sorted(set(stored.step_s[stored.metered == metered].tolist()), reverse=True):
            _fill(block, _select(stored, (stored.metered == metered) & (stored.step_s == length_s)), length_s)
    return block


def _select(stored: StoredIntervals, chosen: NDArray[np.bool_]) -> StoredIntervals:
    return StoredIntervals(*(getattr(stored, name)[chosen] for name in stored.__struct_fields__))


def _fill(block: IntervalBlock, part: StoredIntervals, length_s: int) -> None:
    if length_s >= block.step_s and length_s % block.step_s == 0:
        for k in range(length_s // block.step_s):
            _assign(block, part, part.offset_s + k * block.step_s, expanded=length_s > block.step_s)
    elif block.step_s % length_s == 0:
        _assign(block, _averaged(part, block.step_s, length_s), None, expanded=False)


def _averaged(part: StoredIntervals, step_s: int, length_s: int) -> StoredIntervals:
    keys, where = np.unique(
        np.stack([part.facility_index, part.offset_s // step_s]), axis=1, return_inverse=True
    )
    where = where.reshape(-1)
    count = np.bincount(where, minlength=keys.shape[1])
    whole = count == step_s // length_s

    def mean(values: FloatArray) -> FloatArray:
        sums = np.bincount(where, weights=values, minlength=keys.shape[1]).astype(np.float64)
        return np.where(whole, sums / np.maximum(count, 1), np.nan)

    return StoredIntervals(
        keys[0],
        keys[1] * step_s,
        np.full(keys.shape[1], step_s),
        mean(part.mean_kw),
        mean(part.temp_c),
        np.nan_to_num(mean(part.coverage_pct)),
        np.full(keys.shape[1], bool(part.metered[0])),
    )


def _assign(
    block: IntervalBlock, part: StoredIntervals, offset_s: NDArray[np.int64] | None, *, expanded: bool
) -> None:
    offset_s = part.offset_s if offset_s is None else offset_s
    column = offset_s // block.step_s
    inside = (offset_s % block.step_s == 0) & (column >= 0) & (column < block.mean_kw.shape[1])
    warm = inside & np.isfinite(part.temp_c)
    block.temp_c[part.facility_index[warm], column[warm]] = part.temp_c[warm]
    usable = np.isfinite(part.mean_kw) & (~part.metered | (part.coverage_pct >= MIN_COVERAGE_PCT))
    counted, thin = inside & usable, inside & ~usable
    rows, columns = part.facility_index[counted], column[counted]
    block.mean_kw[rows, columns] = part.mean_kw[counted]
    thin[inside] &= np.isnan(block.mean_kw[part.facility_index[inside], column[inside]])
    block.coverage_pct[part.facility_index[thin], column[thin]] = part.coverage_pct[thin]
    block.coverage_pct[rows, columns] = part.coverage_pct[counted]
    block.expanded[rows, columns] = expanded
