"""The read models as queries see them: rows by key, and lists by cursor. All synchronous.

`tenant` narrows to what one utility may see; None sees everything (operators, auditors, workers).
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec

from projections.audit.steps import AuditTrailRow
from projections.deadlines import DeadlineRow
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.engine.unavailable import ReadModelsUnavailable as ReadModelsUnavailable  # noqa: PLC0414 - views say it
from projections.facility import FacilityRow
from projections.portfolio.projection import PortfolioRow

Row = TypeVar("Row", bound=msgspec.Struct)

MOST_ROWS = 1_000
"""A list never gives more at once."""


class Page(msgspec.Struct, Generic[Row], frozen=True):
    """Some rows, and where the next ones begin; `next_cursor` is None at the end."""

    rows: tuple[Row, ...]
    next_cursor: str | None = None


class RowsVersion(msgspec.Struct, frozen=True):
    """Rows and position change together: what has the same version has the same rows, on whatever server."""

    generation: int
    position: int
    updated_at: datetime
    """When: after a failover that lost something a position may come a second time, with other rows."""


class View(Protocol[Row]):
    """One read model."""

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        """The row of that key, if that tenant may see it."""
        ...

    def version(self) -> RowsVersion | None:
        """Of the rows as they are now; None where that cannot be told. Raises ReadModelsUnavailable."""
        ...

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        """Those of the rows that there are, whoever may see them."""
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
    """The deadlines; the schedule worker asks for those that are due."""

    def due(self, now: datetime, *, limit: int = 500) -> list[DeadlineRow]:
        """Deadlines with due_at <= now, the longest overdue first."""
        ...


class ProjectionPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projection has come."""

    name: str
    version: int
    """Of the projection that made the rows; another than the code's own means: rebuild it."""
    position: int
    head: int
    """The newest position of the log."""
    updated_at: datetime | None = None
    stopped_at: int | None = None
    """The position of the domain event that it cannot fold; None while it goes on."""
    stopped_reason: str | None = None

    behind_since: datetime | None = None
    """When the oldest domain event that is not yet folded was recorded."""

    def lag_s(self, now: datetime) -> float:
        """Age of the oldest domain event that is not yet folded, in the clock's seconds; 0 at the head."""
        return max((now - self.behind_since).total_seconds(), 0.0) if self.behind_since is not None else 0.0

    @property
    def lag(self) -> int:
        """Positions not yet folded."""
        return max(self.head - self.position, 0)


class ReadModels(Protocol):
    """Every read model. The key of each row is given by `key_of` in its module."""

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

    def positions(self) -> list[ProjectionPosition]:
        """Every projection's position, in the order of the registry."""
        ...
