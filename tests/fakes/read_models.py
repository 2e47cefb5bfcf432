"""ReadModels in memory, folded by the projections themselves."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from projections.audit_trail import AuditTrailRow
from projections.deadlines import DeadlineRow
from projections.dispatches import DispatchRow
from projections.dr_events import DREventRow
from projections.facilities import FacilityRow
from projections.memory_rows import Entry, MemoryRows
from projections.memory_view import MemoryView
from projections.portfolio import PortfolioRow
from projections.registry import PROJECTIONS
from projections.views import ProjectionPosition, Row


class FakeView(MemoryView[Row]):
    """The rows are there for a test to look at."""


class FakeDeadlinesView(FakeView[DeadlineRow]):
    def due(self, now: datetime, *, limit: int = 500) -> list[DeadlineRow]:
        return [row for _, _, row in self._rows.listed() if row.due_at <= now][:limit]


class FakeReadModels:
    """`fold` entries of a log; every view shows them at once."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.rows: dict[str, MemoryRows[Any]] = {
            projection.name: MemoryRows(projection) for projection in PROJECTIONS
        }
        self.dr_events: FakeView[DREventRow] = FakeView(self.rows["dr_events"])
        self.dispatches: FakeView[DispatchRow] = FakeView(self.rows["dispatches"])
        self.facilities: FakeView[FacilityRow] = FakeView(self.rows["facilities"])
        self.portfolio: FakeView[PortfolioRow] = FakeView(self.rows["portfolio"])
        self.audit_trail: FakeView[AuditTrailRow] = FakeView(self.rows["audit_trail"])
        self.deadlines = FakeDeadlinesView(self.rows["deadlines"])
        self.fold(entries)

    def fold(self, entries: Iterable[Entry]) -> None:
        folded = list(entries)
        for rows in self.rows.values():
            rows.fold(folded)

    def positions(self) -> list[ProjectionPosition]:
        return [
            ProjectionPosition(
                name=name, version=rows.projection.version, position=rows.position, head=rows.position
            )
            for name, rows in self.rows.items()
        ]
