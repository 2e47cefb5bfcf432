"""View of one read model's live rows. Its layout defines the columns."""

from collections.abc import Collection, Mapping
from typing import Generic

import msgspec
from psycopg import sql
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, autocommit_connection
from adapters.postgres.read_model.row_table import Connection, layout_of
from domain.event_sourcing.decoders import json_decoder
from projections.engine.cursors import cursor_after, filter_kind, read_cursor
from projections.engine.projection import AnyProjection
from projections.queries.views import MAX_PAGE_ROWS, Page, ReadModelsUnavailable, Row, RowsVersion

_ROWS = """
SELECT {sort_key}, {key}, {row} FROM {table}
WHERE generation = (SELECT generation FROM gridproof.projection_positions WHERE name = {name}) AND {is_listed}
"""
_VERSION = "SELECT generation, position, updated_at FROM gridproof.projection_positions WHERE name = %s"

Pool = ConnectionPool[Connection]


ERRORS = PortErrors(ReadModelsUnavailable, "the read models")


class PostgresView(Generic[Row]):
    """A read model, with rows of type `row_type`."""

    def __init__(self, pool: Pool, projection: AnyProjection, row_type: type[Row]) -> None:
        self._pool = pool
        self._projection = projection
        self._decoder: msgspec.json.Decoder[Row] = json_decoder(row_type)
        layout = self._layout = layout_of(projection)
        self._rows = sql.SQL(_ROWS).format(
            table=layout.table,
            name=sql.Literal(projection.name),
            **{part: sql.SQL(getattr(layout, part)) for part in ("sort_key", "key", "row", "is_listed")},
        )
        # Used very often and free of caller data, so it is built once.
        self._among_keys = sql.SQL(" AND ").join([self._rows, layout.among_keys]).as_bytes()

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        conditions = [self._layout.has_key(_without_nul(key)), *_of_tenant(tenant)]
        fetched = self._select(conditions, sql.SQL("LIMIT 1"))
        return fetched[0][2] if fetched else None

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Row]:
        conditions = [
            *_of_tenant(tenant),
            *(self._filter(name, _without_nul(value)) for name, value in (filters or {}).items()),
        ]
        descending = self._projection.newest_first
        columns = [sql.Identifier(column) for column in self._layout.order]
        if cursor is not None:
            conditions.append(self._beyond(columns, cursor))
        limit = min(max(limit, 1), MAX_PAGE_ROWS)
        direction = sql.SQL(" DESC" if descending else "")
        order = sql.SQL(", ").join(column + direction for column in columns)
        ending = sql.SQL("ORDER BY {} LIMIT {}").format(order, sql.Literal(limit + 1))
        fetched = self._select(conditions, ending)
        rows = tuple(row for _, _, row in fetched[:limit])
        more = len(fetched) > limit
        return Page(rows, cursor_after(self._projection.name, *fetched[limit - 1][:2]) if more else None)

    def by_key(self, keys: Collection[str]) -> dict[str, Row]:
        """The existing rows by key."""
        names = [_without_nul(key) for key in keys]
        return {key: row for _, key, row in self._fetch(self._among_keys, (names,))}

    def version(self) -> RowsVersion | None:
        with autocommit_connection(self._pool, ERRORS) as connection:
            row = connection.execute(_VERSION, (self._projection.name,)).fetchone()
        return None if row is None else RowsVersion(*row)

    def _filter(self, name: str, value: str) -> sql.Composable:
        if filter_kind(self._projection, name) == "contains":
            return sql.SQL("row -> {} ? {}").format(sql.Literal(name), sql.Literal(value))
        return self._layout.equals(name, value)

    def _beyond(self, columns: list[sql.Identifier], cursor: str) -> sql.Composable:
        after = read_cursor(self._projection.name, cursor)
        place = [sql.Literal(part) for part in self._layout.place(*after)]
        comma = sql.SQL(", ")
        beyond = sql.SQL("({}) < ({})" if self._projection.newest_first else "({}) > ({})")
        return beyond.format(comma.join(columns), comma.join(place))

    def _select(
        self, conditions: list[sql.Composable], ending: sql.SQL | sql.Composed
    ) -> list[tuple[str, str, Row]]:
        return self._fetch(sql.SQL(" AND ").join([self._rows, *conditions]) + sql.SQL(" ") + ending)

    def _fetch(
        self, statement: bytes | sql.Composed, parameters: tuple[object, ...] | None = None
    ) -> list[tuple[str, str, Row]]:
        with autocommit_connection(self._pool, ERRORS) as connection:
            fetched = connection.execute(statement, parameters).fetchall()
        return [(sort_key, key, self._decoder.decode(text)) for sort_key, key, text in fetched]


def _of_tenant(tenant: str | None) -> list[sql.Composable]:
    return [] if tenant is None else [sql.SQL("tenant = {}").format(sql.Literal(_without_nul(tenant)))]


def _without_nul(value: str) -> str:
    """`value` without NUL characters, which PostgreSQL does not accept; no stored text contains one."""
    return value.replace("\0", "\ufffd")
