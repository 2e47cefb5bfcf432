"""Numpy arrays as elements of PostgreSQL's binary arrays, and back.

An element is its length and its big-endian value. Without NULLs and variable-width types all elements have the same
shape, so that 200,000 of them are one numpy array. NaN stands for NULL.
"""

from collections.abc import Sequence
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


def timestamps(unix_s: NDArray[Any]) -> NDArray[np.int64]:
    """Unix seconds as PostgreSQL timestamps: whole microseconds since 2000."""
    return np.rint(np.asarray(unix_s, dtype=np.float64) * 1e6).astype(np.int64) - POSTGRES_EPOCH_S * 1_000_000


def unix_seconds(timestamps_: NDArray[np.int64]) -> NDArray[np.float64]:
    """The inverse of `timestamps`."""
    return timestamps_ / 1e6 + POSTGRES_EPOCH_S


def received(sent: Sequence[bytes], kind: str) -> NDArray[Any]:
    """The elements of one-dimensional arrays without NULLs, as `array_send` writes them, concatenated."""
    element = np.dtype([("length", ">i4"), ("value", kind)])
    body = b"".join([one[ARRAY_HEADER_BYTES:] for one in sent])
    values: NDArray[Any] = np.frombuffer(body, dtype=element)["value"]
    return values.astype(np.dtype(kind).newbyteorder("="))


def received_lengths(sent: Sequence[bytes], kind: str) -> NDArray[np.int64]:
    """The number of elements of each array."""
    width = LENGTH_BYTES + np.dtype(kind).itemsize
    return np.array([(len(one) - ARRAY_HEADER_BYTES) // width for one in sent], dtype=np.int64)


def elements_of(kind: str, values: NDArray[Any]) -> bytes:
    """The values as elements of an array, each preceded by its length."""
    elements = np.empty(len(values), dtype=np.dtype([("length", ">i4"), ("value", kind)]))
    elements["length"] = np.dtype(kind).itemsize
    elements["value"] = values
    return elements.tobytes()


def texts_of(joined: str, count: int) -> tuple[bytes, NDArray[np.int64]]:
    """The texts between the SEPARATORs of `joined` as elements, and the offset of each element and of the
    end."""
    encoded = (joined + SEPARATOR).encode()
    octets = np.frombuffer(encoded, dtype=np.uint8)
    ends = np.flatnonzero(octets == ord(SEPARATOR))
    lengths = np.diff(ends, prepend=-1) - 1
    begins = np.concatenate([[0], ends + 1 + 3 * np.arange(1, count + 1)])
    if (lengths == lengths[0]).all():
        before = _LENGTH.pack(lengths[0])
        return before + encoded[:-1].replace(SEPARATOR.encode(), before), begins
    # The four bytes of the length replace the separator, plus three more; they stand before the text instead
    # of behind it.
    written = np.empty(len(octets) + 3 * count, dtype=np.uint8)
    is_length = np.zeros(len(written), dtype=np.bool_)
    is_length[(begins[:-1, None] + np.arange(4)).ravel()] = True
    written[is_length] = lengths.astype(">i4").view(np.uint8)
    written[~is_length] = octets[octets != ord(SEPARATOR)]
    return written.tobytes(), begins
