"""ReadModels in memory, folded by the projections themselves."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Generic

from projections.audit_trail import AuditTrailRow
from projections.cursors import checked_filters, cursor_after, read_cursor
from projections.deadlines import DeadlineRow
from projections.dispatches import DispatchRow
from projections.dr_events import DREventRow
from projections.facilities import FacilityRow
from projections.memory_rows import Entry, MemoryRows
from projections.portfolio import PortfolioRow
from projections.registry import PROJECTIONS
from projections.views import MOST_ROWS, Page, ProjectionPosition, Row


class FakeView(Generic[Row]):
    def __init__(self, rows: MemoryRows[Any]) -> None:
        self._rows = rows

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        row = self._rows.get(_plain(key))
        projection = self._rows.projection
        if row is None or projection.sort_key(row) is None or not self._visible(row, tenant):
            return None
        found: Row = row
        return found

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Row]:
        wanted = checked_filters(self._rows.projection, filters)
        after = None if cursor is None else read_cursor(cursor)
        found = [
            (sort_key, key, row)
            for sort_key, key, row in self._rows.listed()
            if self._visible(row, tenant)
            and all(_matches(row, name, value) for name, value in wanted.items())
            and (after is None or self._comes_after((sort_key, key), after))
        ]
        limit = min(max(limit, 1), MOST_ROWS)
        page = found[:limit]
        more = len(found) > limit
        return Page(tuple(row for _, _, row in page), cursor_after(*page[-1][:2]) if more else None)

    def _visible(self, row: Any, tenant: str | None) -> bool:
        return tenant is None or self._rows.projection.tenant(row) == tenant

    def _comes_after(self, place: tuple[str, str], other: tuple[str, str]) -> bool:
        return place < other if self._rows.projection.newest_first else place > other


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


def _matches(row: Any, name: str, value: str) -> bool:
    found = getattr(row, name)
    value = _plain(value)
    return value in found if isinstance(found, tuple) else found is not None and str(found) == value


def _plain(value: str) -> str:
    return value.replace("\0", "\ufffd")
