"""The projection of the portfolio: one row with the available, committed and delivered power."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.division import LogPart, Shard
from projections.engine.projection import FilterKind, Rows
from projections.portfolio.changes import CHANGES
from projections.portfolio.readiness import READINESS_EVENTS, key_read_by, standings_key, with_readiness
from projections.portfolio.row import (
    DispatchShare,
    DREventStandings,
    FacilityShare,
    PortfolioRow,
    PortfolioRows,
    share_key,
    total,
)

__all__ = ["KEY", "DispatchShare", "FacilityShare", "PortfolioProjection", "PortfolioRow", "PortfolioRows"]

KEY = "portfolio"
Change = Callable[[Any, PortfolioRow, Rows[PortfolioRows]], PortfolioRow]


class PortfolioProjection:
    """The projection behind the read model `portfolio`."""

    name: ClassVar[str] = "portfolio"
    version: ClassVar[int] = 5
    row_type: ClassVar[Any] = PortfolioRows
    newest_first: ClassVar[bool] = False
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {}
    changes: ClassVar[Mapping[type[DomainEvent], Change]] = CHANGES
    readiness_events: ClassVar[tuple[type[DomainEvent], ...]] = READINESS_EVENTS

    def __init__(self, sums_key: str = KEY) -> None:
        self._sums_key = sums_key

    @property
    def concerns(self) -> tuple[type[DomainEvent], ...]:
        return tuple(dict.fromkeys((*self.changes, *self.readiness_events)))

    def divided(self, count: int) -> Sequence[LogPart]:
        in_order = LogPart(_OrderedPart(share_key(0)), Shard(), share_key(0))
        sums = [
            LogPart(_SumsPart(share_key(number)), Shard(number - 1, count - 1), share_key(number))
            for number in range(1, count)
        ]
        return (in_order, *sums)

    def joined(self, shares: Sequence[tuple[PortfolioRow, int]]) -> tuple[PortfolioRow, int] | None:
        return total(shares)

    def key(self, row: PortfolioRows) -> str:
        match row:
            case PortfolioRow():
                return self._sums_key
            case FacilityShare():
                return str(row.stream_id)
            case DispatchShare():
                return str(row.dispatch_id)
            case DREventStandings():
                return standings_key(row.dr_event_id)

    def sort_key(self, row: PortfolioRows) -> str | None:
        return KEY if isinstance(row, PortfolioRow) else None

    def tenant(self, row: PortfolioRows) -> str | None:
        return None

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        standings = key_read_by(domain_event)
        return (self._sums_key, str(domain_event.originator_id), *([] if standings is None else [standings]))

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[PortfolioRows]) -> None:
        kind = type(domain_event)
        change, is_of_readiness = self.changes.get(kind), kind in self.readiness_events
        if change is None and not is_of_readiness:
            return
        before = rows.get(self._sums_key)
        row = before if isinstance(before, PortfolioRow) else PortfolioRow()
        after = row if change is None else change(domain_event, row, rows)
        if is_of_readiness:
            after = with_readiness(domain_event, after, rows)
        if after != row:
            rows.put(replace(after, changed_at=domain_event.recorded_at))


_MEASUREMENTS = (DREvent.Measured, DREvent.Remeasured)


class _OrderedPart(PortfolioProjection):
    """The part that depends on the order of domain events of different streams: which DR events are listed, and what
    was measured last."""

    changes: ClassVar[Mapping[type[DomainEvent], Change]] = {kind: CHANGES[kind] for kind in _MEASUREMENTS}


class _SumsPart(PortfolioProjection):
    """The sums over some of the streams."""

    changes: ClassVar[Mapping[type[DomainEvent], Change]] = {
        kind: change for kind, change in CHANGES.items() if kind not in _MEASUREMENTS
    }
    readiness_events = ()
