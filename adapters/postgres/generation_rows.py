"""Rows of a new generation in PostgreSQL's binary COPY format, and the table that takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Any

import psycopg
from psycopg import Copy, sql

from adapters.postgres.row_table import SCHEMA
from projections.folded_rows import FoldedRows
from projections.read_model import AnyProjection
from projections.stored_form import stored_form

Connection = psycopg.Connection[tuple[Any, ...]]

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_BEGIN = Struct("!hii")  # six fields; a generation of 4 bytes
_LENGTH = Struct("!i")
_POSITION = Struct("!iq")
_JSONB_VERSION = b"\x01"
_ROWS_A_BLOCK = 500
_COPY_IN = "COPY {table} (generation, key, sort_key, tenant, row, position) FROM STDIN (FORMAT BINARY)"


def copy_blocks(folded: FoldedRows[Any], generation: int) -> Iterator[bytes]:
    """Every row, some hundreds in one piece, as COPY takes them between header and trailer."""
    projection = folded.projection
    block: list[bytes] = []
    for key, (row, position) in folded.by_key.items():
        block += (
            _BEGIN.pack(6, 4, generation),
            _text(key),
            _text(projection.sort_key(row)),
            _text(projection.tenant(row)),
            _jsonb(stored_form(row)),
            _POSITION.pack(8, position),
        )
        if len(block) >= 6 * _ROWS_A_BLOCK:
            yield b"".join(block)
            block.clear()
    if block:
        yield b"".join(block)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _jsonb(form: bytes) -> bytes:
    return _LENGTH.pack(len(form) + 1) + _JSONB_VERSION + form


class NewGeneration:
    """The rows that are to become the live ones; nobody sees them before the caller's transaction commits."""

    def __init__(self, connection: Connection, projection: AnyProjection, generation: int) -> None:
        self._connection = connection
        self._name = projection.name
        self._generation = generation

    def create(self) -> None:
        """A table without keys."""
        self._connection.execute("SELECT gridproof.create_generation(%s, %s)", (self._name, self._generation))

    @contextmanager
    def taking_rows(self) -> Iterator[Copy]:
        """Write blocks of `copy_blocks` to it; the header and the trailer are written here."""
        table = sql.Identifier(SCHEMA, f"rm_{self._name}_g{self._generation}")
        with self._connection.cursor().copy(sql.SQL(_COPY_IN).format(table=table)) as copy:
            copy.write(_HEADER)
            yield copy
            copy.write(_TRAILER)

    def load(self, blocks: Iterable[bytes]) -> None:
        with self.taking_rows() as copy:
            for block in blocks:
                copy.write(block)

    def build_keys(self) -> None:
        """Keys as the read model's table has them, and a part of that table from then on."""
        self._connection.execute("SELECT gridproof.attach_generation(%s, %s)", (self._name, self._generation))
