"""Values and arrays in PostgreSQL's binary format.

Source: PostgreSQL's `array_recv`: number of dimensions, null flag, element type; length and lower bound of
each dimension; then the elements, each preceded by its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from struct import error as struct_error

BIGINT, TEXT, BYTEA, UUID = 20, 25, 17, 2950
"""Object ids of built-in types, which are the same in every PostgreSQL."""
NULL = b"\xff\xff\xff\xff"
"""Represents a null element of an array, or a null field of a row."""

TRUE = b"\x01"
"""The boolean."""

_LENGTH = Struct("!i")
_BIGINT = Struct("!q")
_NO_ELEMENTS = Struct("!iiI")
_HEADER = Struct("!iiIii")

LENGTH_BYTES, ARRAY_HEADER_BYTES = _LENGTH.size, _HEADER.size
EIGHT_BYTE_ELEMENT = LENGTH_BYTES + 8
"""Size of a bigint, float8 or timestamp with its length."""


def bigint(value: int) -> bytes:
    """The value as a binary bigint. Raises OverflowError."""
    try:
        return _BIGINT.pack(value)
    except struct_error as error:
        raise OverflowError(f"{value} is no bigint") from error


def bigint_of(value: bytes) -> int:
    """The inverse of `bigint`."""
    number: int = _BIGINT.unpack(value)[0]
    return number


def element(value: bytes) -> bytes:
    """The value as an element of an array."""
    return _LENGTH.pack(len(value)) + value


def text(value: str | None) -> bytes:
    """The text as an element of an array or a field of a row."""
    return NULL if value is None else element(value.encode())


def array(element_type: int, elements: Sequence[bytes], *, has_nulls: bool = False) -> bytes:
    """A one-dimensional array; `elements` as `element` returns them, or NULL."""
    return array_of(element_type, b"".join(elements), len(elements), has_nulls=has_nulls)


def array_of(element_type: int, elements: bytes, length: int, *, has_nulls: bool = False) -> bytes:
    """Like `array`, from `length` concatenated elements."""
    if not length:
        return _NO_ELEMENTS.pack(0, 0, element_type)
    return _HEADER.pack(1, int(has_nulls), element_type, length, 1) + elements
