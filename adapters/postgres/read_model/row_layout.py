"""Layout of a read model's table: JSON rows for most, columns for the audit trail.

The other modules of the read models use keys, rows and positions; only a layout knows their columns. Every
table has the columns `generation`, `key` and `position`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, LiteralString

import msgspec
from psycopg import sql

from adapters.postgres.read_model.row_encoding import Stored, copy_blocks, row_arrays
from projections.engine.projection import AnyProjection

SCHEMA = "gridproof"
_HEX, _ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RowLayout(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of one table as SQL fragments, and the encoders of its rows."""

    stem: str
    """The table is `rm_<stem>`; that of a generation is `rm_<stem>_g<n>`."""
    key: LiteralString
    """The projection's key, as text."""
    key_type: LiteralString
    row: LiteralString
    """The row as JSON text."""
    sort_key: LiteralString
    """The projection's sort key, as text."""
    is_listed: LiteralString
    """Condition that excludes rows which the projection keeps only for itself."""
    copied: LiteralString
    """The columns that `blocks` fills."""
    put: LiteralString
    """Statement that inserts or replaces the rows of `arrays`; its first parameter is the generation."""
    blocks: Callable[[AnyProjection, Iterable[Stored], int], Iterator[bytes]]
    """Rows of a generation in blocks of some hundreds, as COPY takes them between header and trailer."""
    arrays: Callable[[AnyProjection, Sequence[Stored]], Sequence[Any]]
    order: tuple[LiteralString, ...]
    """The columns by which lists are ordered."""
    place: Callable[[str, str], Sequence[str | int]]
    """The values of the `order` columns for (sort key, key). Raises InvalidCursor."""
    ids: frozenset[str] = frozenset()
    """Fields that are uuid columns."""
    texts: frozenset[str] = frozenset()
    """Fields that are text columns; all other fields are in the JSON."""

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, f"rm_{self.stem}")

    def table_of_generation(self, generation: int) -> sql.Identifier:
        return sql.Identifier(SCHEMA, f"rm_{self.stem}_g{generation}")

    def has_key(self, key: str) -> sql.Composable:
        """Condition for one key."""
        if self.key_type == "uuid" and _HEX.fullmatch(key) is None:
            return sql.SQL("false")
        return sql.SQL("key = {}::{}").format(sql.Literal(key), sql.SQL(self.key_type))

    @property
    def among_keys(self) -> sql.Composable:
        """Condition with a list of keys as parameter, so that the statement text stays the same and is
        prepared once."""
        return sql.SQL("key = ANY({}::{}[])").format(sql.Placeholder(), sql.SQL(self.key_type))

    def equals(self, name: str, value: str) -> sql.Composable:
        """Condition for one field. Names of JSON fields are literals, so that PostgreSQL can use the indexes
        on them."""
        if name in self.ids:
            is_id = _ID.fullmatch(value) is not None
            return sql.SQL("{} = {}::uuid" if is_id else "false").format(
                sql.Identifier(name), sql.Literal(value)
            )
        if name in self.texts:
            return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
        return sql.SQL("row ->> {} = {}").format(sql.Literal(name), sql.Literal(value))


def json_layout(name: str) -> RowLayout:
    """Layout with key, sort key, tenant, JSON row and position, as `gridproof.create_read_model` creates it."""
    return RowLayout(
        stem=name,
        key="key",
        key_type="text",
        row="row::text",
        sort_key="sort_key",
        is_listed="sort_key IS NOT NULL",
        copied="(generation, key, sort_key, tenant, row, position)",
        put=_PUT,
        blocks=copy_blocks,
        arrays=row_arrays,
        order=("sort_key", "key"),
        place=lambda sort_key, key: (sort_key, key),
    )


_PUT: LiteralString = """
INSERT INTO {table} (generation, key, sort_key, tenant, row, position)
SELECT %s, changed.key, changed.sort_key, changed.tenant, changed.row::jsonb, changed.position
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
    AS changed (key, sort_key, tenant, row, position)
ON CONFLICT (generation, key) DO UPDATE
SET sort_key = excluded.sort_key, tenant = excluded.tenant, row = excluded.row, position = excluded.position
"""
