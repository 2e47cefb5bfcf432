"""Lists as they stood: every row of a read model after a prefix of the log.

The past does not change, so what was folded once is kept, and a later moment goes on from there. How much of the log
one call folds, and how many rows are kept, is bounded; who asks again after a bound finds it further on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Generic

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing import DomainEvent
from domain.facility import Facility
from projections.dr_events import DREventRow, DREventsProjection
from projections.facilities import FacilitiesProjection, FacilityRow
from projections.memory_rows import MemoryRows
from projections.memory_view import MemoryView
from projections.portfolio import PortfolioProjection, PortfolioRow
from projections.read_model import AnyProjection
from projections.story_log import AsOf, StoryLog, position_as_of
from projections.views import Row

MOST_KEPT = 4
"""Past states of one read model; rows that did not change between them are shared."""
_AGGREGATES = (DREvent, Dispatch, Facility)


class PastNotFoldedYet(Exception):
    """As much of the log was folded as one call may; the next one goes on from there."""


class PastTooLarge(Exception):
    """More rows than are kept in memory; one of them can be asked for by its id."""


class FoldLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one call may cost."""

    domain_events: int = 50_000
    """Folded by one call; some seconds' work."""
    rows: int = 200_000
    """Of one read model."""


NO_LIMITS = FoldLimits(domain_events=2**62, rows=2**62)


class PastList(msgspec.Struct, Generic[Row], frozen=True):
    """Every row of a read model after the prefix that ends at `position`."""

    position: int
    rows: MemoryView[Row]


class PastLists:
    """Over one log, for any number of threads. All methods raise

    PastNotFoldedYet, PastTooLarge, PositionAhead, FoldFailed or StoryLogUnavailable.
    """

    def __init__(self, log: StoryLog, limits: FoldLimits = NO_LIMITS) -> None:
        self._dr_events = _KeptPasts(log, DREventsProjection(), limits)
        self._facilities = _KeptPasts(log, FacilitiesProjection(), limits)
        self._portfolio = _KeptPasts(log, PortfolioProjection(), limits)

    def dr_events(self, as_of: AsOf) -> PastList[DREventRow]:
        position, rows = self._dr_events.as_of(as_of)
        return PastList(position, MemoryView(rows))

    def facilities(self, as_of: AsOf) -> PastList[FacilityRow]:
        position, rows = self._facilities.as_of(as_of)
        return PastList(position, MemoryView(rows))

    def portfolio(self, as_of: AsOf) -> PastList[PortfolioRow]:
        position, rows = self._portfolio.as_of(as_of)
        return PastList(position, MemoryView(rows))


class _KeptPasts:
    """Of one projection: position -> the rows after it, the least recently asked for first. None of them changes."""

    def __init__(self, log: StoryLog, projection: AnyProjection, limits: FoldLimits) -> None:
        self._log = log
        self._projection = projection
        self._limits = limits
        self._topics = topics_of(projection)
        self._kept: OrderedDict[int, MemoryRows[Any]] = OrderedDict()
        self._turn = threading.Lock()

    def as_of(self, as_of: AsOf) -> tuple[int, MemoryRows[Any]]:
        position = position_as_of(self._log, as_of)
        with self._turn:
            if position not in self._kept:
                self._keep(position, self._folded(position))
            self._kept.move_to_end(position)
            return position, self._kept[position]

    def _folded(self, position: int) -> MemoryRows[Any]:
        before = max((known for known in self._kept if known < position), default=0)
        rows: MemoryRows[Any] = MemoryRows(self._projection)
        if before:
            rows.by_key = dict(self._kept[before].by_key)
        entries = self._log.entries_about(self._topics, until=position, after=before)
        for folded, entry in enumerate(entries):
            if folded >= self._limits.domain_events:
                self._keep(rows.position, rows)
                raise PastNotFoldedYet(
                    f"the log is folded up to position {rows.position} of {position}; ask again to go on from there"
                )
            rows.fold((entry,))
            if len(rows.by_key) > self._limits.rows:
                raise PastTooLarge(
                    f"more than {self._limits.rows} rows until position {position}; ask for one by its id"
                )
        return rows

    def _keep(self, position: int, rows: MemoryRows[Any]) -> None:
        self._kept[position] = rows
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


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
