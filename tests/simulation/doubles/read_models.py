"""Simulated read models: folded by the real projections, in batches, with a lag."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from application.ports.event_store.event_log import LogEntry
from domain.dispatch import CURTAILED
from projections.deadlines import OPEN_WORK, DeadlineKind, DeadlineRow
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.engine.memory_rows import MemoryRows
from projections.facility import FacilityRow
from projections.queries.memory_view import MemoryView
from projections.registry import PROJECTIONS


class CurtailedBuilding(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch whose building is curtailed."""

    dispatch_id: UUID
    dr_event_id: UUID
    facility_id: str
    tenant: str | None
    correlation_id: UUID
    trace_id: str = "0" * 32


class MemoryReadModels:
    """The rows and position of each read model, changed together."""

    def __init__(self) -> None:
        self.rows: dict[str, MemoryRows[Any]] = {p.name: MemoryRows(p) for p in PROJECTIONS}
        self.deadlines = MemoryDeadlines(self.rows["deadlines"])
        self.dr_events: MemoryView[DREventRow] = MemoryView(self.rows["dr_events"])
        self.facilities: MemoryView[FacilityRow] = MemoryView(self.rows["facilities"])
        self.dispatches: MemoryView[DispatchRow] = MemoryView(self.rows["dispatches"])

    def curtailed(self) -> list[CurtailedBuilding]:
        return [
            CurtailedBuilding(
                dispatch_id=row.dispatch_id,
                dr_event_id=row.dr_event_id,
                facility_id=row.facility_id,
                tenant=row.tenant,
                correlation_id=row.dr_event_id,
            )
            for row in self.rows["dispatches"].by_key.values()
            if isinstance(row, DispatchRow) and row.status in CURTAILED
        ]

    def fold(self, name: str, entries: Sequence[LogEntry]) -> None:
        self.rows[name].fold(entries)


class MemoryDeadlines:
    """The deadlines for the schedule and measure workers."""

    def __init__(self, rows: MemoryRows[Any]) -> None:
        self._rows = rows

    def due(self, now: datetime, *, limit: int = 500) -> list[DeadlineRow]:
        """The due deadlines, sorted by time."""
        return [row for row in self._until(now) if row.kind not in OPEN_WORK][:limit]

    def overdue_work(self, kind: DeadlineKind, now: datetime, *, limit: int = 5_000) -> list[DeadlineRow]:
        """The overdue open work of a kind, sorted by time."""
        return [row for row in self._until(now) if row.kind == kind][:limit]

    def _until(self, now: datetime) -> list[DeadlineRow]:
        due = [row for row in self._rows.by_key.values() if row.due_at <= now]
        return sorted(due, key=lambda row: (row.due_at, str(row.stream_id), row.kind, str(row.intent_id)))
