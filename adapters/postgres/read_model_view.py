"""A view of one read model's live rows; the SQL is one for all tables, since they are of one layout."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic

import msgspec
import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from adapters.postgres.row_table import Connection, table_of
from domain.struct_decoders import json_decoder
from projections.cursors import checked_filters, cursor_after, read_cursor
from projections.read_model import AnyProjection
from projections.views import MOST_ROWS, Page, ReadModelsUnavailable, Row

_ROWS = """
SELECT sort_key, key, row::text FROM {table}
WHERE generation = (SELECT generation FROM gridproof.projection_positions WHERE name = {name})
    AND sort_key IS NOT NULL
"""

Pool = ConnectionPool[Connection]


@contextmanager
def reading(pool: Pool) -> Iterator[Connection]:
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
        self._decoder: msgspec.json.Decoder[Row] = json_decoder(row_type)
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

    def by_key(self, keys: Collection[str]) -> dict[str, Row]:
        """Those that there are."""
        among = sql.SQL("key = ANY({})").format(sql.Literal(list(keys)))
        return {key: row for _, key, row in self._select([among], sql.SQL(""))}

    def _select(
        self, conditions: list[sql.Composed], ending: sql.SQL | sql.Composed
    ) -> list[tuple[str, str, Row]]:
        whole = sql.SQL(" AND ").join([self._rows, *conditions]) + sql.SQL(" ") + ending
        with reading(self._pool) as connection:
            found = connection.execute(whole).fetchall()
        return [(sort_key, key, self._decoder.decode(text)) for sort_key, key, text in found]


def _of_tenant(tenant: str | None) -> list[sql.Composed]:
    return [] if tenant is None else [sql.SQL("tenant = {}").format(sql.Literal(_plain(tenant)))]


def _filter(name: str, value: str, *, contains: bool) -> sql.Composed:
    """The names of fields stand as literals, so that the indexes on them are found."""
    condition = "row -> {} ? {}" if contains else "row ->> {} = {}"
    return sql.SQL(condition).format(sql.Literal(name), sql.Literal(_plain(value)))


def _plain(value: str) -> str:
    """No stored text holds a NUL, and PostgreSQL takes none in a query."""
    return value.replace("\0", "\ufffd")
