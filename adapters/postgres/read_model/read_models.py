"""The read models for queries, on PostgreSQL. One view class serves all tables, since a layout describes each
of them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from psycopg import sql

from adapters.postgres.connection.transaction import autocommit_connection
from adapters.postgres.read_model.audit_trail_view import PostgresAuditTrailView
from adapters.postgres.read_model.view import ERRORS, Pool, PostgresView
from application.event_store.event_mapper import recorded_at_of
from projections.audit.steps import AuditTrailRow
from projections.deadlines import DeadlineKind, DeadlineRow, DeadlinesProjection, open_work_sort_key
from projections.dispatch.projection import DispatchesProjection, DispatchRow
from projections.dr_event.projection import DREventRow, DREventsProjection
from projections.engine.projection import AnyProjection, sortable
from projections.facility import FacilitiesProjection, FacilityRow
from projections.portfolio.projection import PortfolioProjection, PortfolioRow
from projections.queries.views import PlanningQueue, ProjectionPosition, View
from projections.registry import PROJECTIONS

_POSITIONS = """
SELECT name, version, position, updated_at, stopped_at, stopped_reason, (
    SELECT state FROM gridproof.demand_response_events
    WHERE notification_id > position ORDER BY notification_id LIMIT 1
) FROM gridproof.projection_positions
"""
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events"


_FAIRLY = sql.SQL(
    "ORDER BY (row ->> 'kind') = 'plan_retry',"
    " row_number() OVER (PARTITION BY tenant, (row ->> 'kind') = 'plan_retry' ORDER BY sort_key, key),"
    " sort_key, key LIMIT {}"
)
_IN_TURN = sql.SQL(
    "ORDER BY row_number() OVER (PARTITION BY tenant ORDER BY sort_key, key), sort_key, key LIMIT {}"
)
_PLANNING_QUEUE = """
SELECT count(*), count(*) FILTER (WHERE row ->> 'plan_retry_at' IS NULL) FROM (
    SELECT row FROM gridproof.rm_dr_events
    WHERE generation = (SELECT generation FROM gridproof.projection_positions WHERE name = 'dr_events')
        AND row ->> 'status' = 'accepted' {of_tenant}
    LIMIT %(limit)s
) AS accepted
"""
_OF_ALL = _PLANNING_QUEUE.format(of_tenant="").encode()
_OF_ONE = _PLANNING_QUEUE.format(of_tenant="AND tenant = %(tenant)s").encode()


class PostgresDeadlinesView(PostgresView[DeadlineRow]):
    def due(
        self, now: datetime, *, limit: int = 500, kinds: Collection[DeadlineKind] | None = None
    ) -> list[DeadlineRow]:
        conditions = [_between("", sortable(now))]
        if kinds is not None:
            conditions.append(sql.SQL("row ->> 'kind' = ANY({})").format(sql.Literal(sorted(kinds))))
        return [row for _, _, row in self._select(conditions, _FAIRLY.format(sql.Literal(limit)))]

    def overdue_work(self, kind: DeadlineKind, now: datetime, *, limit: int = 5_000) -> list[DeadlineRow]:
        conditions = [_between(open_work_sort_key(kind), open_work_sort_key(kind, now))]
        return [row for _, _, row in self._select(conditions, _IN_TURN.format(sql.Literal(limit)))]


def _between(first: str, last: str) -> sql.Composable:
    return sql.SQL("sort_key BETWEEN {} AND {}").format(sql.Literal(first), sql.Literal(last))


class PostgresReadModels:
    """All read models. `pool` connects as the application's role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.dr_events: View[DREventRow] = PostgresView(pool, DREventsProjection(), DREventRow)
        self.dispatches: View[DispatchRow] = PostgresView(pool, DispatchesProjection(), DispatchRow)
        self.facilities: View[FacilityRow] = PostgresView(pool, FacilitiesProjection(), FacilityRow)
        self.portfolio: View[PortfolioRow] = PostgresView(pool, PortfolioProjection(), PortfolioRow)
        self.audit_trail: View[AuditTrailRow] = PostgresAuditTrailView(pool)
        self.deadlines = PostgresDeadlinesView(pool, DeadlinesProjection(), DeadlineRow)

    def planning_queue(self, *, tenant: str | None, limit: int) -> PlanningQueue:
        statement = _OF_ALL if tenant is None else _OF_ONE
        with autocommit_connection(self._pool, ERRORS) as connection:
            rows = connection.execute(statement, {"tenant": tenant, "limit": limit})
            return PlanningQueue(*next(iter(rows)))

    def positions(self) -> list[ProjectionPosition]:
        with autocommit_connection(self._pool, ERRORS) as connection:
            rows: dict[str, tuple[Any, ...]] = {row[0]: row for row in connection.execute(_POSITIONS)}
            head = next(iter(connection.execute(_HEAD)))[0]
        return [_position(projection, rows.get(projection.name), head) for projection in PROJECTIONS]


def _position(projection: AnyProjection, row: tuple[Any, ...] | None, head: int) -> ProjectionPosition:
    if row is None:
        return ProjectionPosition(name=projection.name, version=projection.version, position=0, head=head)
    _, version, position, updated_at, stopped_at, stopped_reason, following = row
    return ProjectionPosition(
        name=projection.name,
        version=version,
        position=position,
        head=head,
        updated_at=updated_at,
        stopped_at=stopped_at,
        stopped_reason=stopped_reason,
        behind_since=None if following is None else recorded_at_of(following),
    )
