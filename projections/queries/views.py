"""Views: the read models as queries see them, rows by key and lists by cursor. All synchronous.

`tenant` restricts a query to what one utility may see; None sees everything (operators, auditors, workers).
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from projections.audit.steps import AuditTrailRow
from projections.deadlines import DeadlineKind, DeadlineRow
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.engine.projection import ReadModelsUnavailable as ReadModelsUnavailable  # noqa: PLC0414 - re-exported
from projections.facility import FacilityRow
from projections.portfolio.projection import PortfolioRow

Row = TypeVar("Row", bound=msgspec.Struct)

MAX_PAGE_ROWS = 1_000
"""The maximum length of a page."""


class Page(msgspec.Struct, Generic[Row], frozen=True):
    """A page of rows, and the start of the next one; `next_cursor` is None on the last page."""

    rows: tuple[Row, ...]
    next_cursor: str | None = None


class RowsVersion(msgspec.Struct, frozen=True):
    """Rows and position change together: equal versions mean equal rows, on any server."""

    generation: int
    position: int
    updated_at: datetime
    """The time of the change: after a failover with data loss, a position may recur with other rows."""


class View(Protocol[Row]):
    """A read model."""

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        """The row of that key, if that tenant may see it."""
        ...

    def version(self) -> RowsVersion | None:
        """The version of the current rows; None if it is not available. Raises ReadModelsUnavailable."""
        ...

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        """The existing rows of these keys, whatever their tenant."""
        ...

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Row]:
        """Up to `limit` rows in the read model's order.

        Raises InvalidCursor, UnknownFilter (projections.engine.cursors) or ReadModelsUnavailable.
        """
        ...


class DeadlinesView(View[DeadlineRow], Protocol):
    """The deadlines; the decide worker reads those that are due."""

    def due(
        self, now: datetime, *, limit: int = 500, kinds: Collection[DeadlineKind] | None = None
    ) -> list[DeadlineRow]:
        """Deadlines with due_at <= now, of `kinds` only if they are given: each utility's longest overdue first,
        then the second of each, and so on. Those of planning again come last, since they are the least urgent.
        Open work is no deadline.
        """
        ...

    def overdue_work(self, kind: DeadlineKind, now: datetime, *, limit: int = 5_000) -> list[DeadlineRow]:
        """Open work of a kind (of OPEN_WORK) with due_at <= now: each utility's longest overdue first, then the second
        of each, and so on."""
        ...


class PlanningQueue(NamedTuple):
    """DR events that are accepted and not scheduled yet."""

    waiting: int
    """All of them, also those whose window no forecast reaches yet."""
    due: int
    """Those whose planning was not tried yet."""


class ProjectionPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a projection."""

    name: str
    version: int
    """The version of the projection that made the rows; if it differs from the code's, rebuild the read
    model."""
    position: int
    head: int
    """The newest position of the log."""
    updated_at: datetime | None = None
    stopped_at: int | None = None
    """The position of the domain event that it cannot fold; None while it continues."""
    stopped_reason: str | None = None

    behind_since: datetime | None = None
    """When the oldest domain event that is not yet folded was recorded."""

    def lag_s(self, now: datetime) -> float:
        """Age of the oldest domain event that is not yet folded, in the clock's seconds; 0 at the head."""
        return max((now - self.behind_since).total_seconds(), 0.0) if self.behind_since is not None else 0.0

    @property
    def lag(self) -> int:
        """The number of positions not yet folded."""
        return max(self.head - self.position, 0)


class ReadModels(Protocol):
    """Every read model. `key_of` in its module gives the key of a row."""

    @property
    def dr_events(self) -> View[DREventRow]: ...

    @property
    def dispatches(self) -> View[DispatchRow]: ...

    @property
    def facilities(self) -> View[FacilityRow]: ...

    @property
    def portfolio(self) -> View[PortfolioRow]: ...

    @property
    def audit_trail(self) -> View[AuditTrailRow]: ...

    @property
    def deadlines(self) -> DeadlinesView: ...

    def planning_queue(self, *, tenant: str | None, limit: int) -> PlanningQueue:
        """The queue of one utility, or of all (None); counted up to `limit`."""
        ...

    def positions(self) -> list[ProjectionPosition]:
        """Every projection's position, in the order of the registry."""
        ...


def all_rows(view: View[Row], **filters: str) -> Iterator[Row]:
    """All rows in the read model's order, read page by page. Raises ReadModelsUnavailable.

    A row that changes between two pages may be left out.
    """
    cursor: str | None = None
    while True:
        page = view.listed(filters=filters or None, cursor=cursor, limit=MAX_PAGE_ROWS)
        yield from page.rows
        cursor = page.next_cursor
        if cursor is None:
            return
