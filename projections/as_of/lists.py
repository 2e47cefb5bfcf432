"""Lists as they stood: every row of a read model after a prefix of the log.

The past does not change, so what was folded once is kept, and a later moment goes on from there. How much of the log
one call folds, and how many rows and bytes are kept, is bounded; who asks again after a bound finds it further on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from typing import Any, Generic

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from projections.audit.stream_log import AsOf, StreamLog, position_as_of
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.engine.memory_rows import FoldFailed, MemoryRows
from projections.engine.projection import AnyProjection
from projections.facility import FacilitiesProjection, FacilityRow
from projections.portfolio.projection import PortfolioProjection, PortfolioRow
from projections.queries.memory_view import MemoryView
from projections.queries.views import Row

MOST_KEPT = 4
"""Past states of one read model, and as many that are not folded to their end yet; rows that did not change between
them are shared."""
MOST_MOMENTS = 1_000
_encode = msgspec.msgpack.Encoder().encode
_AGGREGATES = (DREvent, Dispatch, Facility)


class HistoryStillLoading(Exception):
    """As much of the log was folded as one call may; the next one goes on from there."""


class PastTooLarge(Exception):
    """More rows than are kept in memory; one of them can be asked for by its id."""


class FoldLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one call may cost."""

    domain_events: int = 50_000
    """Folded by one call; some seconds' work."""
    rows: int = 200_000
    """Of one read model."""
    row_bytes: int = 100_000_000
    """And of all its past states together, as they are encoded; in memory they take some times as much."""


NO_LIMITS = FoldLimits(domain_events=2**62, rows=2**62, row_bytes=2**62)


class PastList(msgspec.Struct, Generic[Row], frozen=True):
    """Every row of a read model after the prefix that ends at `position`."""

    position: int
    rows: MemoryView[Row]


class HistoricalLists:
    """Over one log, for any number of threads. All methods raise

    HistoryStillLoading, PastTooLarge, PositionAhead, FoldFailed or StreamLogUnavailable.
    """

    def __init__(self, log: StreamLog, limits: FoldLimits = NO_LIMITS) -> None:
        self._log = log
        self._ends: OrderedDict[datetime, int] = OrderedDict()
        """Of moments after which something was recorded: whatever comes, their prefix ends there."""
        self._dr_events = _KeptPasts(log, DREventsProjection(), limits)
        self._facilities = _KeptPasts(log, FacilitiesProjection(), limits)
        self._portfolio = _KeptPasts(log, PortfolioProjection(), limits)

    def dr_events(self, as_of: AsOf) -> PastList[DREventRow]:
        position = self._position(as_of)
        return PastList(position, self._dr_events.at(position))

    def facilities(self, as_of: AsOf) -> PastList[FacilityRow]:
        position = self._position(as_of)
        return PastList(position, self._facilities.at(position))

    def portfolio(self, as_of: AsOf) -> PastList[PortfolioRow]:
        position = self._position(as_of)
        return PastList(position, self._portfolio.at(position))

    def _position(self, as_of: AsOf) -> int:
        """Where a prefix ends is looked for from the log's beginning: once for all pages of a list."""
        known = self._ends.get(as_of) if isinstance(as_of, datetime) else None
        if known is not None:
            return known
        if not isinstance(as_of, datetime):
            return position_as_of(self._log, as_of)
        head = self._log.head()  # before: what is recorded meanwhile may still belong to the prefix
        position = position_as_of(self._log, as_of)
        if position < head:
            self._ends[as_of] = position
            if len(self._ends) > MOST_MOMENTS:
                self._ends.popitem(last=False)
        return position


class _CountedRows(MemoryRows[Any]):
    """With how many bytes they take, encoded."""

    def __init__(self, projection: AnyProjection) -> None:
        super().__init__(projection)
        self.size = 0

    def put(self, row: Any) -> None:
        self.size += _size(row) - _size(self.by_key.get(self.projection.key(row)))
        super().put(row)

    def add(self, row: Any) -> None:
        self.put(row)

    def delete(self, key: str) -> None:
        self.size -= _size(self.by_key.get(key))
        super().delete(key)

    def copy(self) -> _CountedRows:
        copied = _CountedRows(self.projection)
        copied.by_key, copied.position, copied.size = dict(self.by_key), self.position, self.size
        return copied


class _KeptPasts:
    """Of one projection, by position; the least recently asked for is forgotten first."""

    def __init__(self, log: StreamLog, projection: AnyProjection, limits: FoldLimits) -> None:
        self._log = log
        self._projection = projection
        self._limits = limits
        self._topics = topics_of(projection)
        self._kept: OrderedDict[int, tuple[_CountedRows, MemoryView[Any]]] = OrderedDict()
        """None of them changes."""
        self._under_way: OrderedDict[int, _CountedRows] = OrderedDict()
        """By the position that they are folded for: who asks for another takes nothing from them."""
        self._turn = threading.Lock()

    def at(self, position: int) -> MemoryView[Any]:
        with self._turn:
            if position not in self._kept:
                rows = self._folded(position)
                self._kept[position] = rows, MemoryView(rows, unchanging=True)
            self._kept.move_to_end(position)
            self._forget(self._kept, [rows.size for rows, _ in self._kept.values()])
            return self._kept[position][1]

    def _folded(self, position: int) -> _CountedRows:
        rows = self._begun(position)
        entries = self._log.entries_about(self._topics, until=position, after=rows.position)
        self._check_size(rows, position)
        for folded, entry in enumerate(entries):
            if folded >= self._limits.domain_events:
                raise HistoryStillLoading(
                    f"the log is folded up to position {rows.position} of {position}; ask again to go on from there"
                )
            try:
                rows.fold((entry,))
            except FoldFailed:
                del self._under_way[position]  # they may be half changed
                raise
            self._check_size(rows, position)
        del self._under_way[position]
        rows.position = position
        return rows

    def _begun(self, position: int) -> _CountedRows:
        """Rows that are folded for `position` already, or a copy of the nearest before it."""
        rows = self._under_way.get(position)
        if rows is None:
            folded = [*(kept for kept, _ in self._kept.values()), *self._under_way.values()]
            before = [known for known in folded if known.position <= position]
            nearest = max(before, key=lambda known: known.position, default=None)
            rows = _CountedRows(self._projection) if nearest is None else nearest.copy()
            self._under_way[position] = rows
        self._under_way.move_to_end(position)
        self._forget(self._under_way, [begun.size for begun in self._under_way.values()])
        return rows

    def _check_size(self, rows: _CountedRows, position: int) -> None:
        if len(rows.by_key) > self._limits.rows or rows.size > self._limits.row_bytes:
            raise PastTooLarge(
                f"more than {self._limits.rows} rows or {self._limits.row_bytes} bytes until position {position}; "
                "ask for one by its id"
            )

    def _forget(self, kept: OrderedDict[int, Any], sizes: list[int]) -> None:
        """All but the newest, until the rest is within bounds."""
        for _ in sizes[:-1]:
            if len(kept) <= MOST_KEPT and sum(sizes[-len(kept) :]) <= self._limits.row_bytes:
                return
            kept.popitem(last=False)


def _size(row: Any) -> int:
    return 0 if row is None else len(_encode(row))


def topics_of(projection: AnyProjection) -> tuple[str, ...]:
    """Those of this release that the projection looks at."""
    return tuple(
        sorted(
            get_topic(kind)
            for aggregate in _AGGREGATES
            for kind in vars(aggregate).values()
            if isinstance(kind, type)
            and issubclass(kind, DomainEvent)
            and issubclass(kind, projection.concerns)
        )
    )
