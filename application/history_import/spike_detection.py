"""Detection of spikes: values far from their neighbours, found in one pass over rows that do not fit into
memory."""

from typing import NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from application.ports.history_import import LineArray, TimeArray
from domain.time_series.windows import FloatArray

NEIGHBOURS = 5
"""The value itself and two on either side. At both ends the outermost value stands in for missing
neighbours."""
_HALF = NEIGHBOURS // 2


class LoadRows(NamedTuple):
    """Rows with a load, in order of time; every array has shape (n,)."""

    nth: NDArray[np.int64]
    """The number of each row among the facility's rows, counting the first of each moment."""
    starts_at: TimeArray
    lines: LineArray
    load_kwh: FloatArray

    def rows(self, chosen: "slice | NDArray[np.bool_]") -> Self:
        return self._replace(**{name: column[chosen] for name, column in self._asdict().items()})

    def concatenated_with(self, following: Self) -> Self:
        pairs = zip(self, following, strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))


class NeighbourDistances:
    """The distance of each value from the median of its neighbours. The last rows wait for the following
    ones."""

    def __init__(self) -> None:
        self._waiting: LoadRows | None = None
        self._left: FloatArray = np.empty(0)
        """The values before the waiting rows."""

    def add(self, known: LoadRows) -> tuple[LoadRows, FloatArray]:
        """The rows whose neighbours are now complete, and their distances in kWh."""
        if self._waiting is not None:
            known = self._waiting.concatenated_with(known)
        elif len(known.nth):
            self._left = np.full(_HALF, known.load_kwh[0])
        else:
            return known, np.empty(0)
        return self._neighbour_distances(known, known.load_kwh)

    def rest(self) -> tuple[LoadRows, FloatArray] | None:
        """The rows that still wait, at the end."""
        if (waiting := self._waiting) is None:
            return None
        return self._neighbour_distances(
            waiting, np.concatenate([waiting.load_kwh, np.full(_HALF, waiting.load_kwh[-1])])
        )

    def _neighbour_distances(self, rows: LoadRows, load_kwh: FloatArray) -> tuple[LoadRows, FloatArray]:
        ready = max(0, len(load_kwh) - _HALF)
        values = np.concatenate([self._left, load_kwh])
        self._left, self._waiting = values[ready : ready + _HALF], rows.rows(slice(ready, None))
        judged = rows.rows(slice(0, ready))
        if not ready:
            return judged, np.empty(0)
        around = np.median(sliding_window_view(values, NEIGHBOURS), axis=1)
        return judged, np.abs(judged.load_kwh - around)


class Median:
    """The median of non-negative values: exact for up to `EXACT`, within 0.4 % for more, however they are cut
    into pieces."""

    EXACT = 250_000
    _BITS = 44
    """Of a double's 64 bits. The rest are its exponent and the first 8 bits of its fraction."""

    def __init__(self) -> None:
        self._parts: list[FloatArray] = []
        self._size = 0
        self._times: dict[int, int] = {}

    def add(self, values: FloatArray) -> None:
        self._parts.append(values)
        self._size += len(values)
        if self._size > self.EXACT:
            buckets = np.concatenate(self._parts).view(np.int64) >> self._BITS
            for bucket, times in zip(*(a.tolist() for a in np.unique_counts(buckets)), strict=True):
                self._times[bucket] = self._times.get(bucket, 0) + times
            self._parts = []

    def value(self) -> float:
        """0 without values."""
        if not self._size:
            return 0.0
        if self._size <= self.EXACT:
            return float(np.median(np.concatenate(self._parts)))
        buckets = np.array(sorted(self._times), dtype=np.int64)
        through = np.cumsum([self._times[bucket] for bucket in buckets.tolist()])
        middle = np.searchsorted(through, [(self._size - 1) // 2, self._size // 2], side="right")
        return float(((buckets[middle] << self._BITS) + (1 << (self._BITS - 1))).view(np.float64).mean())
