"""The projection of the portfolio: one row with the available, committed and delivered power."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.projection import FilterKind, Rows
from projections.portfolio.changes import CHANGES
from projections.portfolio.readiness import READINESS_EVENTS, key_read_by, standings_key, with_readiness
from projections.portfolio.row import (
    DispatchShare,
    DREventStandings,
    FacilityShare,
    PortfolioRow,
    PortfolioRows,
)

__all__ = ["KEY", "DispatchShare", "FacilityShare", "PortfolioProjection", "PortfolioRow", "PortfolioRows"]

KEY = "portfolio"


class PortfolioProjection:
    """The projection behind the read model `portfolio`."""

    name: ClassVar[str] = "portfolio"
    version: ClassVar[int] = 5
    row_type: ClassVar[Any] = PortfolioRows
    newest_first: ClassVar[bool] = False
    independent_streams: ClassVar[bool] = False
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {}

    @property
    def concerns(self) -> tuple[type[DomainEvent], ...]:
        return tuple(dict.fromkeys((*CHANGES, *READINESS_EVENTS)))

    def key(self, row: PortfolioRows) -> str:
        match row:
            case PortfolioRow():
                return KEY
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
        return (KEY, str(domain_event.originator_id), *([] if standings is None else [standings]))

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[PortfolioRows]) -> None:
        change, is_of_readiness = CHANGES.get(type(domain_event)), type(domain_event) in READINESS_EVENTS
        if change is None and not is_of_readiness:
            return
        before = rows.get(KEY)
        row = before if isinstance(before, PortfolioRow) else PortfolioRow()
        after = row if change is None else change(domain_event, row, rows)
        if is_of_readiness:
            after = with_readiness(domain_event, after, rows)
        if after != row:
            rows.put(replace(after, changed_at=domain_event.recorded_at))
