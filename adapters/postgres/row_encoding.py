"""Rows in PostgreSQL's binary formats: as blocks for COPY, and as arrays for a statement.

psycopg's own adaptation takes several times as long as the fold of the domain events that the rows come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from projections.read_model import AnyProjection
from projections.stored_form import stored_form

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"

_NULL = b"\xff\xff\xff\xff"
_BEGIN = Struct("!hii")  # six fields; a generation of 4 bytes
_LENGTH = Struct("!i")
_POSITION = Struct("!iq")
_ARRAY = Struct("!iiIii")  # dimensions, whether it has nulls, type of the elements; length and lower bound
_JSONB_VERSION = b"\x01"
_TEXT_OID, _TEXT_ARRAY_OID, _BIGINT_OID, _BIGINT_ARRAY_OID = 25, 1009, 20, 1016
_ROWS_A_BLOCK = 500

Stored = tuple[Any, int]
"""(row, position that changed it)."""


def copy_blocks(projection: AnyProjection, rows: Iterable[Stored], generation: int) -> Iterator[bytes]:
    """The rows, some hundreds in one piece, as COPY takes them between header and trailer."""
    begin, pack_position, length = _BEGIN.pack(6, 4, generation), _POSITION.pack, _LENGTH.pack
    key_of, sort_key_of, tenant_of = projection.key, projection.sort_key, projection.tenant
    block: list[bytes] = []
    for row, position in rows:
        form = stored_form(row)
        block += (
            begin,
            _text(key_of(row)),
            _text(sort_key_of(row)),
            _text(tenant_of(row)),
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
    """text[], nulls allowed, ready to be sent."""


class BigintArray(bytes):
    """bigint[], ready to be sent."""


def text_array(values: Iterable[str]) -> TextArray:
    return TextArray(_array(_TEXT_OID, [_text(value) for value in values]))


def row_arrays(
    projection: AnyProjection, rows: Iterable[Stored]
) -> tuple[TextArray, TextArray, TextArray, TextArray, BigintArray]:
    """Keys, sort keys, tenants, stored forms and positions."""
    keys, sort_keys, tenants = list[bytes](), list[bytes](), list[bytes]()
    forms, positions = list[bytes](), list[bytes]()
    for row, position in rows:
        form = stored_form(row)
        keys.append(_text(projection.key(row)))
        sort_keys.append(_text(projection.sort_key(row)))
        tenants.append(_text(projection.tenant(row)))
        forms.append(_LENGTH.pack(len(form)) + form)
        positions.append(_POSITION.pack(8, position))
    return (
        TextArray(_array(_TEXT_OID, keys)),
        TextArray(_array(_TEXT_OID, sort_keys)),
        TextArray(_array(_TEXT_OID, tenants)),
        TextArray(_array(_TEXT_OID, forms)),
        BigintArray(_array(_BIGINT_OID, positions)),
    )


def _array(element_type: int, elements: list[bytes]) -> bytes:
    return _ARRAY.pack(1, 1, element_type, len(elements), 1) + b"".join(elements)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


class _TextArrayDumper(Dumper):
    format = Format.BINARY
    oid = _TEXT_ARRAY_OID

    def dump(self, obj: bytes) -> bytes:
        return obj


class _BigintArrayDumper(_TextArrayDumper):
    oid = _BIGINT_ARRAY_OID


psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(BigintArray, _BigintArrayDumper)
