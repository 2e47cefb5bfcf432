"""The read models for queries, on PostgreSQL: one view for all tables, since they are of one layout."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic

import msgspec
import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from adapters.postgres.row_table import Connection, table_of
from projections.audit_trail import AuditTrailProjection, AuditTrailRow
from projections.cursors import checked_filters, cursor_after, read_cursor
from projections.deadlines import DeadlineRow, DeadlinesProjection
from projections.dispatches import DispatchesProjection, DispatchRow
from projections.dr_events import DREventRow, DREventsProjection
from projections.facilities import FacilitiesProjection, FacilityRow
from projections.portfolio import PortfolioProjection, PortfolioRow
from projections.read_model import AnyProjection, sortable
from projections.registry import PROJECTIONS
from projections.views import MOST_ROWS, Page, ProjectionPosition, ReadModelsUnavailable, Row, View

_ROWS = """
SELECT sort_key, key, row::text FROM {table}
WHERE generation = (SELECT generation FROM gridproof.projection_positions WHERE name = {name})
    AND sort_key IS NOT NULL
"""
_POSITIONS = """
SELECT name, version, position, updated_at, stopped_at, stopped_reason, (
    SELECT convert_from(state, 'UTF8')::jsonb ->> 'recorded_at' FROM gridproof.demand_response_events
    WHERE notification_id > position ORDER BY notification_id LIMIT 1
) FROM gridproof.projection_positions
"""
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events"

Pool = ConnectionPool[Connection]


@contextmanager
def _connection(pool: Pool) -> Iterator[Connection]:
    try:
        with pool.connection() as connection:
            yield connection
    except (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        PoolTimeout,
        PoolClosed,
        TooManyRequests,
    ) as error:
        raise ReadModelsUnavailable(f"the read models did not answer: {error}") from error


class PostgresView(Generic[Row]):
    """One read model, of rows of type `row_type`."""

    def __init__(self, pool: Pool, projection: AnyProjection, row_type: type[Row]) -> None:
        self._pool = pool
        self._projection = projection
        self._decoder: msgspec.json.Decoder[Row] = msgspec.json.Decoder(row_type)
        self._rows = sql.SQL(_ROWS).format(table=table_of(projection.name), name=sql.Literal(projection.name))

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        found = self._select(
            [sql.SQL("key = {}").format(sql.Literal(_plain(key))), *_of_tenant(tenant)], sql.SQL("LIMIT 1")
        )
        return found[0][2] if found else None

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Row]:
        kinds = self._projection.filters
        conditions = [
            *_of_tenant(tenant),
            *(
                _filter(name, value, contains=kinds[name] == "contains")
                for name, value in checked_filters(self._projection, filters).items()
            ),
        ]
        descending = self._projection.newest_first
        if cursor is not None:
            after = sql.SQL("(sort_key, key) < ({}, {})" if descending else "(sort_key, key) > ({}, {})")
            conditions.append(after.format(*map(sql.Literal, read_cursor(cursor))))
        limit = min(max(limit, 1), MOST_ROWS)
        order = (
            "ORDER BY sort_key DESC, key DESC LIMIT {}" if descending else "ORDER BY sort_key, key LIMIT {}"
        )
        found = self._select(conditions, sql.SQL(order).format(sql.Literal(limit + 1)))
        rows = tuple(row for _, _, row in found[:limit])
        more = len(found) > limit
        return Page(rows, cursor_after(*found[limit - 1][:2]) if more else None)

    def _select(
        self, conditions: list[sql.Composed], ending: sql.SQL | sql.Composed
    ) -> list[tuple[str, str, Row]]:
        whole = sql.SQL(" AND ").join([self._rows, *conditions]) + sql.SQL(" ") + ending
        with _connection(self._pool) as connection:
            found = connection.execute(whole).fetchall()
        return [(sort_key, key, self._decoder.decode(text)) for sort_key, key, text in found]


class PostgresDeadlinesView(PostgresView[DeadlineRow]):
    def due(self, now: datetime, *, limit: int = 500) -> list[DeadlineRow]:
        until = sql.SQL("sort_key <= {}").format(sql.Literal(sortable(now)))
        found = self._select([until], sql.SQL("ORDER BY sort_key, key LIMIT {}").format(sql.Literal(limit)))
        return [row for _, _, row in found]


class PostgresReadModels:
    """Every read model; `pool`'s connections are those of the application's role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.dr_events: View[DREventRow] = PostgresView(pool, DREventsProjection(), DREventRow)
        self.dispatches: View[DispatchRow] = PostgresView(pool, DispatchesProjection(), DispatchRow)
        self.facilities: View[FacilityRow] = PostgresView(pool, FacilitiesProjection(), FacilityRow)
        self.portfolio: View[PortfolioRow] = PostgresView(pool, PortfolioProjection(), PortfolioRow)
        self.audit_trail: View[AuditTrailRow] = PostgresView(pool, AuditTrailProjection(), AuditTrailRow)
        self.deadlines = PostgresDeadlinesView(pool, DeadlinesProjection(), DeadlineRow)

    def positions(self) -> list[ProjectionPosition]:
        with _connection(self._pool) as connection:
            found: dict[str, tuple[Any, ...]] = {row[0]: row for row in connection.execute(_POSITIONS)}
            head = next(iter(connection.execute(_HEAD)))[0]
        return [_position(projection, found.get(projection.name), head) for projection in PROJECTIONS]


def _position(projection: AnyProjection, row: tuple[Any, ...] | None, head: int) -> ProjectionPosition:
    if row is None:
        return ProjectionPosition(name=projection.name, version=projection.version, position=0, head=head)
    _, version, position, updated_at, stopped_at, stopped_reason, behind_since = row
    return ProjectionPosition(
        name=projection.name,
        version=version,
        position=position,
        head=head,
        updated_at=updated_at,
        stopped_at=stopped_at,
        stopped_reason=stopped_reason,
        behind_since=None if behind_since is None else datetime.fromisoformat(behind_since),
    )


def _of_tenant(tenant: str | None) -> list[sql.Composed]:
    return [] if tenant is None else [sql.SQL("tenant = {}").format(sql.Literal(_plain(tenant)))]


def _filter(name: str, value: str, *, contains: bool) -> sql.Composed:
    """The names of fields stand as literals, so that the indexes on them are found."""
    condition = "row -> {} ? {}" if contains else "row ->> {} = {}"
    return sql.SQL(condition).format(sql.Literal(name), sql.Literal(_plain(value)))


def _plain(value: str) -> str:
    """No stored text holds a NUL, and PostgreSQL takes none in a query."""
    return value.replace("\0", "\ufffd")
