"""The rows of one read model in PostgreSQL, and the buffer through which a batch is folded into them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Generic

import msgspec
import psycopg
from psycopg import sql

from adapters.postgres.row_encoding import (
    COPIED_COLUMNS,
    COPY_HEADER,
    COPY_TRAILER,
    Stored,
    copy_blocks,
    row_arrays,
    text_array,
)
from domain.struct_decoders import json_decoder
from projections.read_model import Projection, RowsUnavailable, TRow
from projections.stored_form import stored_form

SCHEMA = "gridproof"
Connection = psycopg.Connection[tuple[Any, ...]]
Changes = Mapping[str, tuple[TRow, int] | None]
"""Key -> (row, position that changed it), or None where it is deleted."""

_FETCH = "SELECT key, row::text FROM {table} WHERE generation = %s AND key = ANY(%s)"
_PUT = """
INSERT INTO {table} (generation, key, sort_key, tenant, row, position)
SELECT %s, changed.key, changed.sort_key, changed.tenant, changed.row::jsonb, changed.position
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
    AS changed (key, sort_key, tenant, row, position)
ON CONFLICT (generation, key) DO UPDATE
SET sort_key = excluded.sort_key, tenant = excluded.tenant, row = excluded.row, position = excluded.position
"""
_DELETE = "DELETE FROM {table} WHERE generation = %s AND key = ANY(%s)"
_ALL = "SELECT key, row::text FROM {table} WHERE generation = %s"


class RowUnreadable(Exception):
    """A stored row is not one of this release."""


def table_of(projection_name: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, f"rm_{projection_name}")


def copy_rows(
    connection: Connection,
    table: sql.Identifier,
    projection: Projection[TRow],
    rows: Iterable[Stored],
    generation: int,
) -> None:
    """Add rows of new keys, faster than any INSERT."""
    statement = sql.SQL("COPY {} {} FROM STDIN (FORMAT BINARY)").format(table, sql.SQL(COPIED_COLUMNS))
    with connection.cursor().copy(statement) as copy:
        copy.write(COPY_HEADER)
        for block in copy_blocks(projection, rows, generation):
            copy.write(block)
        copy.write(COPY_TRAILER)


class RowTable(Generic[TRow]):
    """One generation of a read model's rows, over one connection."""

    def __init__(
        self,
        connection: Connection,
        projection: Projection[TRow],
        generation: int,
        *,
        table: sql.Identifier | None = None,
    ) -> None:
        """`table` is that of rows which are not attached to the read model's own yet."""
        self._connection = connection
        self._projection = projection
        self._generation = generation
        self._table = table or table_of(projection.name)
        self._decoder: msgspec.json.Decoder[TRow] = json_decoder(projection.row_type)

    def fetch(self, keys: Iterable[str]) -> dict[str, TRow]:
        """The rows that there are, by key; one round trip. Raises RowUnreadable."""
        found = self._connection.execute(self._sql(_FETCH), (self._generation, text_array(keys)))
        return {key: self._decoded(key, text) for key, text in found}

    def write(self, changes: Changes[TRow], added: Collection[Stored] = ()) -> None:
        """Put and delete, and add rows of new keys; a statement for each kind, in the transaction of the caller."""
        if added:
            copy_rows(self._connection, self._table, self._projection, added, self._generation)
        deleted = [key for key, change in changes.items() if change is None]
        kept = [(key, *change) for key, change in changes.items() if change is not None]
        if kept:
            arrays = row_arrays(self._projection, kept)
            self._connection.execute(self._sql(_PUT), (self._generation, *arrays))
        if deleted:
            self._connection.execute(self._sql(_DELETE), (self._generation, deleted))

    def stored(self) -> dict[str, bytes]:
        """Key -> stored form of every row. Raises RowUnreadable."""
        with self._connection.cursor(name="stored_rows") as cursor:
            cursor.execute(self._sql(_ALL), (self._generation,))
            return {key: stored_form(self._decoded(key, text)) for key, text in cursor}

    def _decoded(self, key: str, text: str) -> TRow:
        try:
            return self._decoder.decode(text)
        except msgspec.MsgspecError as error:
            raise RowUnreadable(
                f"the row {key} of {self._projection.name} cannot be read: {error}; "
                f"rebuild it: gridproof projections rebuild {self._projection.name}"
            ) from error

    def _sql(self, template: str) -> sql.Composed:
        return sql.SQL(template).format(table=self._table)


class RowBuffer(Generic[TRow]):
    """Rows while a batch is folded: fetched when first asked for, written all at once at the end."""

    def __init__(self, projection: Projection[TRow], table: RowTable[TRow]) -> None:
        self._projection = projection
        self._table = table
        self._known: dict[str, TRow | None] = {}
        self._changes: dict[str, tuple[TRow, int] | None] = {}
        self._added: dict[str, tuple[TRow, int]] = {}
        self.position = 0
        """Of the domain event that is being folded."""

    def prefetch(self, keys: Iterable[str]) -> None:
        missing = {key for key in keys if key not in self._known}
        if missing:
            try:
                found = self._table.fetch(missing)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise RowsUnavailable(f"rows of {self._projection.name}: {error}") from error
            self._known.update({key: found.get(key) for key in missing})

    def get(self, key: str) -> TRow | None:
        self.prefetch([key])
        return self._known[key]

    def put(self, row: TRow) -> None:
        key = self._projection.key(row)
        self._known[key] = row
        (self._added if key in self._added else self._changes)[key] = (row, self.position)

    def add(self, row: TRow) -> None:
        key = self._projection.key(row)
        self._known[key] = row
        self._added[key] = (row, self.position)

    def delete(self, key: str) -> None:
        self._known[key] = None
        if self._added.pop(key, None) is None:
            self._changes[key] = None

    def write(self) -> None:
        """In the transaction of the caller."""
        self._table.write(self._changes, [(key, *added) for key, added in self._added.items()])
