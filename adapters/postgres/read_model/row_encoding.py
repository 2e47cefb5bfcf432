"""Encoder of rows in PostgreSQL's binary formats: blocks for COPY, and array parameters.

psycopg's own adaptation takes several times as long as the fold of the domain events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from adapters.postgres.wire_format.binary_arrays import BIGINT, TEXT, array, text
from projections.engine.projection import AnyProjection
from projections.engine.stored_row import stored_form

_BEGIN = Struct("!hii")  # six fields; the generation has 4 bytes
_LENGTH = Struct("!i")
_POSITION = Struct("!iq")
_JSONB_VERSION = b"\x01"
_TEXT_ARRAY_OID, _BIGINT_ARRAY_OID = 1009, 1016
_ROWS_A_BLOCK = 500

Stored = tuple[Any, int]
"""(row, position of the domain event that changed it)."""


def copy_blocks(projection: AnyProjection, rows: Iterable[Stored], generation: int) -> Iterator[bytes]:
    """The rows in blocks of some hundreds, as COPY takes them between header and trailer."""
    begin, pack_position, length = _BEGIN.pack(6, 4, generation), _POSITION.pack, _LENGTH.pack
    key_of, sort_key_of, tenant_of = projection.key, projection.sort_key, projection.tenant
    block: list[bytes] = []
    for row, position in rows:
        form = stored_form(row)
        block += (
            begin,
            text(key_of(row)),
            text(sort_key_of(row)),
            text(tenant_of(row)),
            length(len(form) + 1),
            _JSONB_VERSION,
            form,
            pack_position(8, position),
        )
        if len(block) >= 8 * _ROWS_A_BLOCK:
            yield b"".join(block)
            block.clear()
    if block:
        yield b"".join(block)


class TextArray(bytes):
    """An encoded text[], with nulls allowed."""


class BigintArray(bytes):
    """An encoded bigint[]."""


def text_array(values: Iterable[str]) -> TextArray:
    return TextArray(array(TEXT, [text(value) for value in values]))


def row_arrays(
    projection: AnyProjection, rows: Iterable[Stored]
) -> tuple[TextArray, TextArray, TextArray, TextArray, BigintArray]:
    """Keys, sort keys, tenants, stored forms and positions."""
    keys, sort_keys, tenants = list[bytes](), list[bytes](), list[bytes]()
    forms, positions = list[bytes](), list[bytes]()
    for row, position in rows:
        form = stored_form(row)
        keys.append(text(projection.key(row)))
        sort_keys.append(text(projection.sort_key(row)))
        tenants.append(text(projection.tenant(row)))
        forms.append(_LENGTH.pack(len(form)) + form)
        positions.append(_POSITION.pack(8, position))
    return (
        TextArray(array(TEXT, keys)),
        TextArray(array(TEXT, sort_keys, has_nulls=True)),
        TextArray(array(TEXT, tenants, has_nulls=True)),
        TextArray(array(TEXT, forms)),
        BigintArray(array(BIGINT, positions)),
    )


class _TextArrayDumper(Dumper):
    format = Format.BINARY
    oid = _TEXT_ARRAY_OID

    def dump(self, obj: bytes) -> bytes:
        return obj


class _BigintArrayDumper(_TextArrayDumper):
    oid = _BIGINT_ARRAY_OID


psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(BigintArray, _BigintArrayDumper)
