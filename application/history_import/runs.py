"""Runs of consecutive rows with a common property, found in one pass over pieces."""

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from application.history_import.spike_detection import LoadRows


class Run(msgspec.Struct, kw_only=True):
    """A run of consecutive rows."""

    starts_at: np.datetime64
    line: int
    """Of its first row."""
    rows: int
    last_nth: int
    last_starts_at: np.datetime64
    first_kwh: float
    least_kwh: float
    farthest_kwh: float
    """The value farthest from 0; the first of several."""

    def follows(self, other: "Run | None") -> bool:
        return other is not None and self.last_nth - self.rows == other.last_nth

    def extend(self, other: "Run") -> None:
        self.rows += other.rows
        self.last_nth, self.last_starts_at = other.last_nth, other.last_starts_at
        self.least_kwh = min(self.least_kwh, other.least_kwh)
        self.farthest_kwh = max(self.farthest_kwh, other.farthest_kwh, key=abs)


class RunDetector:
    """Finds runs of at least `least` rows. The last run stays open until another begins, or the end."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._open: Run | None = None

    def add(self, marked: LoadRows) -> Iterator[Run]:
        """Add rows that have the property. A jump in their numbers means that rows in between do not."""
        breaks = np.flatnonzero(np.diff(marked.nth) != 1) + 1
        firsts = np.concatenate([[0], breaks])
        ends = np.concatenate([breaks, [len(marked.nth)]])
        for first, end in self._relevant(firsts, ends):
            found = _run(marked.rows(slice(first, end)))
            if self._open is not None and found.follows(self._open):
                self._open.extend(found)
                continue
            yield from self.rest()
            self._open = found

    def _relevant(self, firsts: NDArray[np.int64], ends: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The long runs, and the outermost ones, which may continue in another piece."""
        chosen = ends - firsts >= self._least
        chosen[[0, -1]] = ends[-1] > 0
        return list(zip(firsts[chosen].tolist(), ends[chosen].tolist(), strict=True))

    def rest(self) -> Iterator[Run]:
        """The open run, at the end."""
        if self._open is not None and self._open.rows >= self._least:
            yield self._open
        self._open = None


def _run(rows: LoadRows) -> Run:
    load_kwh = rows.load_kwh
    return Run(
        starts_at=rows.starts_at[0],
        line=int(rows.lines[0]),
        rows=len(load_kwh),
        last_nth=int(rows.nth[-1]),
        last_starts_at=rows.starts_at[-1],
        first_kwh=float(load_kwh[0]),
        least_kwh=float(load_kwh.min()),
        farthest_kwh=float(load_kwh[np.abs(load_kwh).argmax()]),
    )
