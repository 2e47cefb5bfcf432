"""The rows of one read model in PostgreSQL, and the buffer for folding a batch into them."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, Generic

import msgspec
import psycopg
from psycopg import sql

from adapters.postgres.read_model.audit_layout import AUDIT_LAYOUT
from adapters.postgres.read_model.row_encoding import Stored, text_array
from adapters.postgres.read_model.row_layout import RowLayout, json_layout
from adapters.postgres.wire_format.copy_format import COPY_SIGNATURE, COPY_TRAILER
from domain.event_sourcing.decoders import json_decoder
from projections.audit.trail import AuditTrailProjection
from projections.engine.projection import AnyProjection, Projection, RowsUnavailable, TRow
from projections.engine.stored_row import stored_form

Connection = psycopg.Connection[tuple[Any, ...]]
Changes = Mapping[str, tuple[TRow, int] | None]
"""Key -> (row, position that changed it), or None if it is deleted."""

_FETCH = "SELECT {key}, {row} FROM {table} WHERE generation = %s AND key = ANY(%s::{key_type}[])"
_DELETE = "DELETE FROM {table} WHERE generation = %s AND key = ANY(%s::{key_type}[])"
_ALL = "SELECT {key}, {row} FROM {table} WHERE generation = %s"


class RowUnreadable(Exception):
    """A stored row cannot be decoded by this release."""


def layout_of(projection: AnyProjection) -> RowLayout:
    return _layout_named(projection.name)


@cache
def _layout_named(name: str) -> RowLayout:
    return AUDIT_LAYOUT if name == AuditTrailProjection.name else json_layout(name)


def copy_blocks_in(
    connection: Connection, table: sql.Identifier, layout: RowLayout, blocks: Iterable[bytes]
) -> None:
    """Add rows with new keys by COPY, which is faster than INSERT. `blocks` come from the layout."""
    statement = sql.SQL("COPY {} {} FROM STDIN (FORMAT BINARY)").format(table, sql.SQL(layout.copied))
    with connection.cursor().copy(statement) as copy:
        copy.write(COPY_SIGNATURE)
        for block in blocks:
            copy.write(block)
        copy.write(COPY_TRAILER)


class RowTable(Generic[TRow]):
    """A generation of a read model's rows, over one connection."""

    def __init__(
        self,
        connection: Connection,
        projection: Projection[TRow],
        generation: int,
        *,
        table: sql.Identifier | None = None,
    ) -> None:
        """`table`: the table of a generation that is not attached to the read model's table yet."""
        self._connection = connection
        self._projection = projection
        self._generation = generation
        self._layout = layout_of(projection)
        self._table = table or self._layout.table
        self._decoder: msgspec.json.Decoder[TRow] = json_decoder(projection.row_type)

    def fetch(self, keys: Iterable[str]) -> dict[str, TRow]:
        """The existing rows by key, in one round trip. Raises RowUnreadable."""
        fetched = self._connection.execute(self._sql(_FETCH), (self._generation, text_array(keys)))
        return {key: self._decoded(key, text) for key, text in fetched}

    def write(self, changes: Changes[TRow], added: Collection[Stored] = ()) -> None:
        """Write and delete changed rows, and add rows with new keys; one statement for each, in the caller's
        transaction."""
        if added:
            blocks = self._layout.blocks(self._projection, added, self._generation)
            copy_blocks_in(self._connection, self._table, self._layout, blocks)
        written = [change for change in changes.values() if change is not None]
        if written:
            arrays = self._layout.arrays(self._projection, written)
            self._connection.execute(self._sql(self._layout.put), (self._generation, *arrays))
        self.remove([key for key, change in changes.items() if change is None])

    def remove(self, keys: Collection[str]) -> int:
        """Delete rows in the caller's transaction. Returns their number."""
        if not keys:
            return 0
        return self._connection.execute(self._sql(_DELETE), (self._generation, text_array(keys))).rowcount

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
        layout = self._layout
        return sql.SQL(template).format(
            table=self._table,
            key=sql.SQL(layout.key),
            key_type=sql.SQL(layout.key_type),
            row=sql.SQL(layout.row),
        )


class RowBuffer(Generic[TRow]):
    """The rows used while a batch is folded: fetched at first use, written together at the end."""

    def __init__(self, projection: Projection[TRow], table: RowTable[TRow]) -> None:
        self._projection = projection
        self._table = table
        self._rows: dict[str, TRow | None] = {}
        self._changes: dict[str, tuple[TRow, int] | None] = {}
        self._added: list[tuple[TRow, int]] = []
        self.position = 0
        """Position of the domain event that is being folded."""

    def prefetch(self, keys: Iterable[str]) -> None:
        missing = {key for key in keys if key not in self._rows}
        if missing:
            try:
                fetched = self._table.fetch(missing)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise RowsUnavailable(f"rows of {self._projection.name}: {error}") from error
            self._rows.update({key: fetched.get(key) for key in missing})

    def get(self, key: str) -> TRow | None:
        self.prefetch([key])
        return self._rows[key]

    def put(self, row: TRow) -> None:
        key = self._projection.key(row)
        self._rows[key] = row
        self._changes[key] = (row, self.position)

    def add(self, row: TRow) -> None:
        self._added.append((row, self.position))

    def delete(self, key: str) -> None:
        self._rows[key] = None
        self._changes[key] = None

    def write(self) -> None:
        """Write all changes in the caller's transaction."""
        self._table.write(self._changes, self._added)
