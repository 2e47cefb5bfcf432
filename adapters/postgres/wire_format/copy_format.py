"""Rows of fixed width as PostgreSQL's binary COPY takes them, and arrays as it sends them, in numpy.

A row of binary COPY is a field count and, per field, its length and big-endian value; without NULLs and
variable-width types every row has the same shape, so 200,000 of them are one array. NaN stands for NULL.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.postgres.wire_format.binary_arrays import ARRAY_HEADER_BYTES, LENGTH_BYTES
from domain.telemetry.reading_block import SEPARATOR

COPY_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
POSTGRES_EPOCH_S = int(POSTGRES_EPOCH.timestamp())

_LENGTH = Struct("!i")

Fields = Sequence[tuple[str, str]]
"""Name and numpy type, big-endian."""


def fields_of(
    fields: Fields, columns: Mapping[str, NDArray[Any]], *, count: int | None = None
) -> NDArray[Any]:
    """Records of the fields, each with its length before it; with `count`, the row's number of fields first."""
    parts: list[tuple[str, str]] = [] if count is None else [("fields", ">i2")]
    for name, kind in fields:
        parts += [(f"{name}_length", ">i4"), (name, kind)]
    rows = np.empty(len(columns[fields[0][0]]), dtype=np.dtype(parts))
    if count is not None:
        rows["fields"] = count
    for name, kind in fields:
        rows[f"{name}_length"] = np.dtype(kind).itemsize
        rows[name] = columns[name]
    return rows


def copy_of(fields: Fields, columns: Mapping[str, NDArray[Any]]) -> bytes:
    """The whole of a binary COPY."""
    rows = fields_of(fields, columns, count=len(fields))
    return COPY_SIGNATURE + rows.tobytes() + COPY_TRAILER


def timestamps(unix_s: NDArray[Any]) -> NDArray[np.int64]:
    """Unix seconds as PostgreSQL counts time: whole microseconds since 2000."""
    return np.rint(np.asarray(unix_s, dtype=np.float64) * 1e6).astype(np.int64) - POSTGRES_EPOCH_S * 1_000_000


def unix_seconds(timestamps_: NDArray[np.int64]) -> NDArray[np.float64]:
    """The inverse of `timestamps`."""
    return timestamps_ / 1e6 + POSTGRES_EPOCH_S


def received(sent: Sequence[bytes], kind: str) -> NDArray[Any]:
    """One-dimensional arrays without NULLs as `array_send` writes them, one after the other."""
    element = np.dtype([("length", ">i4"), ("value", kind)])
    body = b"".join([one[ARRAY_HEADER_BYTES:] for one in sent])
    values: NDArray[Any] = np.frombuffer(body, dtype=element)["value"]
    return values.astype(np.dtype(kind).newbyteorder("="))


def received_lengths(sent: Sequence[bytes], kind: str) -> NDArray[np.int64]:
    """How many elements each of them has."""
    width = LENGTH_BYTES + np.dtype(kind).itemsize
    return np.array([(len(one) - ARRAY_HEADER_BYTES) // width for one in sent], dtype=np.int64)


def elements_of(kind: str, values: NDArray[Any]) -> bytes:
    """Each after its length, as they stand in an array."""
    return fields_of([("value", kind)], {"value": values}).tobytes()


def texts_of(joined: str, count: int) -> tuple[bytes, NDArray[np.int64]]:
    """What is between the SEPARATORs of `joined` as elements, and where each of them begins; the end as well."""
    encoded = (joined + SEPARATOR).encode()
    said = np.frombuffer(encoded, dtype=np.uint8)
    ends = np.flatnonzero(said == ord(SEPARATOR))
    lengths = np.diff(ends, prepend=-1) - 1
    begins = np.concatenate([[0], ends + 1 + 3 * np.arange(1, count + 1)])
    if (lengths == lengths[0]).all():
        before = _LENGTH.pack(lengths[0])
        return before + encoded[:-1].replace(SEPARATOR.encode(), before), begins
    # The length's four bytes stand where the separator was, and three more: in front, instead of behind.
    written = np.empty(len(said) + 3 * count, dtype=np.uint8)
    is_length = np.zeros(len(written), dtype=np.bool_)
    is_length[(begins[:-1, None] + np.arange(4)).ravel()] = True
    written[is_length] = lengths.astype(">i4").view(np.uint8)
    written[~is_length] = said[said != ord(SEPARATOR)]
    return written.tobytes(), begins
