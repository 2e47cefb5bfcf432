"""A facility's rows of a readings file in pieces, and their usual values."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from application.history_import.interval_grid import MostFrequent, distances_us
from application.history_import.spike_detection import LoadRows, Median, NeighbourDistances
from application.ports.history_import import QUALITIES, OrderedReadings, ReadingsBatch
from domain.time_series.windows import FloatArray

_US = 1_000_000


class Piece(NamedTuple):
    """Some of a facility's rows, in order of time."""

    rows: ReadingsBatch
    """The first row of each moment."""
    nth: int
    """The number of such rows in earlier pieces."""
    before: ReadingsBatch | None
    """The last of the earlier rows, a single row."""
    again: ReadingsBatch
    """The further rows of a moment."""
    first_kwh: FloatArray
    """For each row of `again`, the value of the first row of its moment."""

    def since(self) -> NDArray[np.int64]:
        """Microseconds from the previous row to each row; 0 for the facility's first."""
        if self.before is not None:
            return distances_us(self.rows, self.before.starts_at[0])
        since = distances_us(self.rows, None)
        return np.concatenate([np.zeros(1, dtype=np.int64), since])

    def with_load(self, chosen: NDArray[np.bool_]) -> LoadRows:
        rows = self.rows.rows(chosen)
        return LoadRows(np.flatnonzero(chosen) + self.nth, rows.starts_at, rows.lines, rows.load_kwh)


def pieces_of(ordered: OrderedReadings, facility_id: str) -> Iterator[Piece]:
    before: ReadingsBatch | None = None
    nth = 0
    for batch in ordered.rows_of(facility_id):
        if before is None:
            new = np.concatenate([[True], distances_us(batch, None) > 0])
        else:
            new = distances_us(batch, before.starts_at[0]) > 0
        rows, again = batch.rows(new), batch.rows(~new)
        every = rows if before is None else ReadingsBatch.joined([before, rows])
        of_moment = np.cumsum(new)[~new] - (before is None)
        yield Piece(rows, nth, before, again, every.load_kwh[of_moment])
        before, nth = every.rows(np.array([-1])), nth + len(rows.lines)


class FacilityProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The usual values of a facility's rows."""

    rows: int
    step_us: int
    first: np.datetime64
    last: np.datetime64
    empty: int
    qualities: dict[str, int]
    with_load: int
    """Moments with a load."""
    level_kwh: float
    """The median load, without its sign."""
    distance_kwh: float
    """The median distance of a load from its neighbours, without those that are equal."""


def profile_of(ordered: OrderedReadings, facility_id: str) -> FacilityProfile:
    distances, durations_s = MostFrequent(), MostFrequent()
    neighbours, levels, around = NeighbourDistances(), Median(), Median()
    qualities = np.zeros(len(QUALITIES), dtype=np.int64)
    rows = empty = with_load = 0
    first = last = np.datetime64(0, "us")
    for piece in pieces_of(ordered, facility_id):
        for batch in (piece.rows, piece.again):
            empty += int(np.isnan(batch.load_kwh).sum())
            if batch.quality is not None:
                qualities += np.bincount(batch.quality, minlength=len(QUALITIES))
            if batch.duration_s is not None:
                durations_s.add(batch.duration_s)
        since = piece.since()
        distances.add(since[since > 0])
        loads = piece.with_load(~np.isnan(piece.rows.load_kwh))
        levels.add(np.abs(loads.load_kwh))
        judged = neighbours.add(loads)[1]
        around.add(judged[judged > 0])
        with_load += len(loads.nth)
        if not rows:
            first = piece.rows.starts_at[0]
        if len(piece.rows.lines):
            last = piece.rows.starts_at[-1]
        rows += len(piece.rows.lines) + len(piece.again.lines)
    if (left := neighbours.rest()) is not None:
        around.add(left[1][left[1] > 0])
    step_s = durations_s.value()
    return FacilityProfile(
        rows=rows,
        step_us=(distances.value() or 0) if step_s is None else step_s * _US,
        first=first,
        last=last,
        empty=empty,
        qualities={name: n for name, n in zip(QUALITIES, qualities.tolist(), strict=True) if n},
        with_load=with_load,
        level_kwh=levels.value(),
        distance_kwh=around.value(),
    )
