"""Lists as of a position: every row of a read model after a prefix of the log.

The past does not change, so folded states are cached, and a later position continues from the nearest earlier
one. One call folds a bounded part of the log and keeps a bounded number of rows and bytes. A caller that
exceeds the bound repeats the call, which continues from there.
"""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

import msgspec
from cachetools import Cache, LRUCache

from domain.aggregates import topics_of
from projections.audit.stream_log import AsOf, StreamLog, position_as_of
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.engine.memory_rows import FoldFailed, MemoryRows
from projections.engine.projection import AnyProjection
from projections.facility import FacilitiesProjection, FacilityRow
from projections.portfolio.projection import PortfolioProjection, PortfolioRow
from projections.program import ProgramRow, ProgramsProjection
from projections.queries.memory_view import MemoryView
from projections.queries.views import Row

MAX_STATES = 4
"""The number of cached states per read model, and of unfinished ones; states share rows that did not change.
"""
MEASURED_EVERY = 1_000
"""Domain events after which the size of the rows is compared with its bound."""
TState = TypeVar("TState")
_encode = msgspec.msgpack.Encoder().encode


class HistoryStillLoading(Exception):
    """The call folded as much of the log as it may; the next call continues from there."""


class PastTooLarge(Exception):
    """More rows than are kept in memory; a single one can be read by its id."""


class FoldLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one call."""

    domain_events: int = 50_000
    """Folded by one call; this takes some seconds."""
    rows: int = 200_000
    """Of one read model."""
    row_bytes: int = 100_000_000
    """Of all cached states of one read model, encoded; they take several times as much in memory."""


NO_LIMITS = FoldLimits(domain_events=2**62, rows=2**62, row_bytes=2**62)


class PastList(msgspec.Struct, Generic[Row], frozen=True):
    """Every row of a read model after the prefix that ends at `position`."""

    position: int
    rows: MemoryView[Row]


class HistoricalLists:
    """The lists of all read models over one log; thread-safe.

    All methods raise HistoryStillLoading, PastTooLarge, PositionAhead, FoldFailed or StreamLogUnavailable.
    """

    def __init__(self, log: StreamLog, limits: FoldLimits = NO_LIMITS) -> None:
        self._log = log
        self._dr_events = PrefixCache(log, DREventsProjection(), limits)
        self._facilities = PrefixCache(log, FacilitiesProjection(), limits)
        self._portfolio = PrefixCache(log, PortfolioProjection(), limits)
        self._programs = PrefixCache(log, ProgramsProjection(), limits)

    def dr_events(self, as_of: AsOf) -> PastList[DREventRow]:
        position = position_as_of(self._log, as_of)
        return PastList(position, self._dr_events.at(position))

    def facilities(self, as_of: AsOf) -> PastList[FacilityRow]:
        position = position_as_of(self._log, as_of)
        return PastList(position, self._facilities.at(position))

    def portfolio(self, as_of: AsOf) -> PastList[PortfolioRow]:
        position = position_as_of(self._log, as_of)
        return PastList(position, self._portfolio.at(position))

    def programs(self, as_of: AsOf | None) -> PastList[ProgramRow]:
        """None: those of now. They have no table, because they are few, change rarely and are seldom read."""
        position = position_as_of(self._log, as_of)
        return PastList(position, self._programs.at(position))


class _CountedRows(MemoryRows[Any]):
    """Rows with their total size, encoded, as of the last `measure`.

    A row that grows with each of its domain events, as a program does, is measured once for many of them.
    """

    def __init__(self, projection: AnyProjection) -> None:
        super().__init__(projection)
        self.size = 0
        self._counted: dict[str, Any] = {}
        """The rows that changed since, as they are counted in `size`; None: not at all."""

    def put(self, row: Any) -> None:
        self._note(self.projection.key(row))
        super().put(row)

    def add(self, row: Any) -> None:
        self.put(row)

    def delete(self, key: str) -> None:
        self._note(key)
        super().delete(key)

    def _note(self, key: str) -> None:
        self._counted.setdefault(key, self.by_key.get(key))

    def measure(self) -> None:
        self.size += sum(_size(self.by_key.get(key)) - _size(row) for key, row in self._counted.items())
        self._counted.clear()

    def copy(self) -> _CountedRows:
        """A copy of measured rows."""
        copied = _CountedRows(self.projection)
        copied.by_key, copied.position, copied.size = dict(self.by_key), self.position, self.size
        return copied


class PrefixCache:
    """Folded states of one projection by position; the least recently used is dropped first."""

    def __init__(self, log: StreamLog, projection: AnyProjection, limits: FoldLimits) -> None:
        self._log = log
        self._projection = projection
        self._limits = limits
        self._topics = tuple(sorted(topics_of(projection.concerns)))
        self._states: Cache[int, tuple[_CountedRows, MemoryView[Any]]] = LRUCache(
            limits.row_bytes, lambda state: self._counted_size(state[0])
        )
        """These rows are not changed any more."""
        self._under_way: Cache[int, _CountedRows] = LRUCache(limits.row_bytes, self._counted_size)
        """Unfinished rows by their target position; each target has its own. None is here while it is folded."""
        self._lock = threading.Lock()

    def at(self, position: int) -> MemoryView[Any]:
        with self._lock:
            if position not in self._states:
                rows = self._folded(position)
                self._states[position] = rows, MemoryView(rows, unchanging=True)
            return self._states[position][1]

    def _folded(self, position: int) -> _CountedRows:
        rows = self._begun(position)
        try:
            self._continue_fold(rows, position)
        except FoldFailed:  # It may have changed some rows.
            raise
        except Exception:
            rows.measure()
            self._under_way[position] = rows
            raise
        rows.position = position
        return rows

    def _continue_fold(self, rows: _CountedRows, position: int) -> None:
        entries = self._log.entries_about(self._topics, until=position, after=rows.position)
        self._check_size(rows, position)
        for folded, entry in enumerate(entries):
            if folded >= self._limits.domain_events:
                raise HistoryStillLoading(
                    f"the log is folded up to position {rows.position} of {position}; ask again to go on from there"
                )
            if folded % MEASURED_EVERY == 0 or len(rows.by_key) > self._limits.rows:
                self._check_size(rows, position)
            rows.fold((entry,))
        self._check_size(rows, position)

    def _begun(self, position: int) -> _CountedRows:
        """The unfinished rows for `position`, or a copy of the nearest earlier state."""
        rows = self._under_way.pop(position, None)
        if rows is not None:
            return rows
        folded = [*(state for state, _ in _unused(self._states)), *_unused(self._under_way)]
        before = [state for state in folded if state.position <= position]
        nearest = max(before, key=lambda state: state.position, default=None)
        return _CountedRows(self._projection) if nearest is None else nearest.copy()

    def _check_size(self, rows: _CountedRows, position: int) -> None:
        rows.measure()
        if len(rows.by_key) > self._limits.rows or rows.size > self._limits.row_bytes:
            raise PastTooLarge(
                f"more than {self._limits.rows} rows or {self._limits.row_bytes} bytes until position {position}; "
                "ask for one by its id"
            )

    def _counted_size(self, rows: _CountedRows) -> int:
        """Such that no more than MAX_STATES fit, and one does whatever its size is."""
        most = self._limits.row_bytes
        return min(max(rows.size, most // MAX_STATES), most)


def _unused(states: Cache[int, TState]) -> list[TState]:
    """The values, without using any."""
    return [Cache.__getitem__(states, position) for position in states]


def _size(row: Any) -> int:
    return 0 if row is None else len(_encode(row))
