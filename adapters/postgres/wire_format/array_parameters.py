"""Array parameters in PostgreSQL's binary format, made from numpy arrays and Python sequences.

The format is that of binary_arrays.py. Rows that are passed as array parameters need no COPY into a temporary
table, which costs a millisecond per transaction. A session that has made one cannot end while the server waits for
its standby, so that a primary that is cut off could not stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID
from weakref import WeakSet

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

from adapters.postgres.wire_format.binary_arrays import TEXT, array_of, text
from adapters.postgres.wire_format.binary_arrays import UUID as UUID_TYPE
from adapters.postgres.wire_format.copy_format import POSTGRES_EPOCH, elements_of, timestamps

_UUID_LENGTH = (16).to_bytes(4, "big")


class ArrayParam:
    """An array parameter. `oid` is the type of the array, `element` that of its elements."""

    __slots__ = ("data", "oid")

    def __init__(self, oid: int, element: int, body: bytes, length: int, *, has_nulls: bool = False) -> None:
        self.oid = oid
        self.data = array_of(element, body, length, has_nulls=has_nulls)


def _numbers(oid: int, element: int, kind: str, values: NDArray[Any]) -> ArrayParam:
    return ArrayParam(oid, element, elements_of(kind, values), len(values))


def integers(values: NDArray[Any]) -> ArrayParam:
    return _numbers(1007, 23, ">i4", values)


def smallints(values: NDArray[Any]) -> ArrayParam:
    return _numbers(1005, 21, ">i2", values)


def doubles(values: NDArray[Any]) -> ArrayParam:
    """NaN is kept."""
    return _numbers(1022, 701, ">f8", values)


def timestamps_param(microseconds: NDArray[np.int64]) -> ArrayParam:
    """Microseconds as PostgreSQL counts them (copy_format.timestamps)."""
    return _numbers(1185, 1184, ">i8", microseconds)


def moments(values: Sequence[datetime]) -> ArrayParam:
    """Aware datetimes."""
    return timestamps_param(timestamps(np.array([value.timestamp() for value in values], dtype=np.float64)))


def dates(values: Sequence[date]) -> ArrayParam:
    days = np.array([value.toordinal() for value in values], dtype=np.int64)
    return _numbers(1182, 1082, ">i4", days - POSTGRES_EPOCH.toordinal())


def texts(values: Sequence[str | None]) -> ArrayParam:
    """Each distinct text is encoded once."""
    table = {value: text(value) for value in set(values)}
    body = b"".join([table[value] for value in values])
    return ArrayParam(1009, TEXT, body, len(values), has_nulls=None in table)


def uuids(values: Sequence[UUID]) -> ArrayParam:
    return ArrayParam(
        2951, UUID_TYPE, b"".join([_UUID_LENGTH + value.bytes for value in values]), len(values)
    )


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def __init__(self, cls: type, context: AdaptContext | None = None, oid: int = 0) -> None:
        super().__init__(cls, context)
        self.oid = oid

    def get_key(self, obj: ArrayParam, format: PyFormat) -> Any:  # noqa: A002 - name given by the base class
        return (self.cls, obj.oid)

    def upgrade(self, obj: ArrayParam, format: PyFormat) -> Dumper:  # noqa: A002
        return _ArrayDumper(self.cls, oid=obj.oid)

    def dump(self, obj: ArrayParam) -> Buffer:
        return obj.data


psycopg.adapters.register_dumper(ArrayParam, _ArrayDumper)
_taught: WeakSet[psycopg.Connection[Any]] = WeakSet()


def teach(connection: psycopg.Connection[Any]) -> None:
    """Register the dumper on a connection. A connection uses the dumpers that were registered when it was
    opened, and a pool may be older than the import of this module."""
    if connection not in _taught:
        connection.adapters.register_dumper(ArrayParam, _ArrayDumper)
        _taught.add(connection)
