"""ReadModels in memory, updated by the projections themselves."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.steps import AuditTrailRow, resolve_steps
from projections.audit.trail import AuditStep
from projections.deadlines import OPEN_WORK, DeadlineKind, DeadlineRow
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.engine.memory_rows import Entry, MemoryRows
from projections.facility import FacilityRow
from projections.portfolio.projection import PortfolioRow
from projections.queries.memory_view import MemoryView
from projections.queries.views import Page, PlanningQueue, ProjectionPosition, Row
from projections.registry import PROJECTIONS


class FakeView(MemoryView[Row]):
    """A view whose rows a test may inspect."""


class FakeDeadlinesView(FakeView[DeadlineRow]):
    """The due rows by time, the tenants in turn."""

    def due(
        self, now: datetime, *, limit: int = 500, kinds: Collection[DeadlineKind] | None = None
    ) -> list[DeadlineRow]:
        rows = [
            row
            for row in self._until(now)
            if row.kind not in OPEN_WORK and (kinds is None or row.kind in kinds)
        ]
        first = [row for row in rows if row.kind != "plan_retry"]
        again = [row for row in rows if row.kind == "plan_retry"]
        return [*_in_turn(first), *_in_turn(again)][:limit]

    def overdue_work(self, kind: DeadlineKind, now: datetime, *, limit: int = 5_000) -> list[DeadlineRow]:
        return _in_turn([row for row in self._until(now) if row.kind == kind])[:limit]

    def _until(self, now: datetime) -> list[DeadlineRow]:
        """The rows that are due, by time."""
        due = [(row.due_at, key, row) for key, row in self._rows.by_key.items() if row.due_at <= now]
        return [row for *_, row in sorted(due, key=lambda one: one[:2])]


def _in_turn(rows: list[DeadlineRow]) -> list[DeadlineRow]:
    """The first row of each tenant, then the second ones, and so on; each time in the order of `rows`."""
    if len(rows) < 2:  # nearly always: a storm reads due deadlines thousands of times
        return rows
    turns: Counter[str | None] = Counter()
    ordered = []
    for row in rows:
        turns[row.tenant] += 1
        ordered.append((turns[row.tenant], row))
    return [row for _, row in sorted(ordered, key=lambda one: one[0])]


class FakeAuditTrailView(FakeView[AuditTrailRow]):
    """Audit steps computed from the folded entries."""

    def __init__(self, rows: MemoryRows[Any]) -> None:
        super().__init__(rows)
        self._steps: MemoryView[AuditStep] = MemoryView(rows)
        self.happened: dict[int, DomainEvent] = {}

    def get(self, key: str, *, tenant: str | None = None) -> AuditTrailRow | None:
        step = self._steps.get(key, tenant=tenant)
        return None if step is None else resolve_steps([step], self)[0]

    def by_key(self, keys: Collection[str]) -> Mapping[str, AuditTrailRow]:
        return {key: row for key in keys if (row := self.get(key)) is not None}

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[AuditTrailRow]:
        page = self._steps.listed(filters=filters, tenant=tenant, cursor=cursor, limit=limit)
        return Page(tuple(resolve_steps(page.rows, self)), page.next_cursor)

    def steps_of(self, keys: Collection[str]) -> dict[str, AuditStep]:
        return {key: step for key in keys if (step := self._steps.get(key)) is not None}

    def domain_events_at(self, positions: Collection[int]) -> dict[int, DomainEvent]:
        return {position: self.happened[position] for position in positions}


class FakeReadModels:
    """Call `fold` with entries of a log; every view shows them at once."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.rows: dict[str, MemoryRows[Any]] = {
            projection.name: MemoryRows(projection) for projection in PROJECTIONS
        }
        self.dr_events: FakeView[DREventRow] = FakeView(self.rows["dr_events"])
        self.dispatches: FakeView[DispatchRow] = FakeView(self.rows["dispatches"])
        self.facilities: FakeView[FacilityRow] = FakeView(self.rows["facilities"])
        self.portfolio: FakeView[PortfolioRow] = FakeView(self.rows["portfolio"])
        self.audit_trail = FakeAuditTrailView(self.rows["audit_trail"])
        self.deadlines = FakeDeadlinesView(self.rows["deadlines"])
        self.fold(entries)

    def fold(self, entries: Iterable[Entry]) -> None:
        folded = list(entries)
        self.audit_trail.happened.update({entry.position: entry.domain_event for entry in folded})
        for rows in self.rows.values():
            rows.fold(folded)

    def planning_queue(self, *, tenant: str | None, limit: int) -> PlanningQueue:
        accepted = [
            row
            for row in self.rows["dr_events"].by_key.values()
            if row.status == "accepted" and tenant in (None, row.utility_id)
        ][:limit]
        return PlanningQueue(len(accepted), sum(row.plan_retry_at is None for row in accepted))

    def positions(self) -> list[ProjectionPosition]:
        return [
            ProjectionPosition(
                name=name, version=rows.projection.version, position=rows.position, head=rows.position
            )
            for name, rows in self.rows.items()
        ]
