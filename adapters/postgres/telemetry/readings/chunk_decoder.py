"""Decoder of chunk rows into columns. Of several readings of a meter for one moment, the one with the highest
rank is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.postgres.wire_format.binary_arrays import ARRAY_HEADER_BYTES, EIGHT_BYTE_ELEMENT, LENGTH_BYTES
from adapters.postgres.wire_format.copy_format import received
from domain.telemetry.reading_arrays import MOST_TRUSTED, IntArray, ReadingColumns, winning_indices
from domain.telemetry.reading_block import SEPARATOR

_HEADER_WORDS, _ELEMENT_WORDS, _LENGTH_WORDS = (
    size // 4 for size in (ARRAY_HEADER_BYTES, EIGHT_BYTE_ELEMENT, LENGTH_BYTES)
)
_EIGHTS = (">i8", ">f8", ">f8", ">i8")
"""ts, kw, kwh_total and seq."""


class StoredReadings(msgspec.Struct, frozen=True, eq=False):
    """The readings of the requested ranges, one per meter and moment, ordered by owner, meter and time."""

    meters: Sequence[tuple[int, str]]
    """(Owner, meter id), in order. The columns' `meter` is an index into this list."""
    columns: ReadingColumns
    """`ts_us` in PostgreSQL's epoch."""
    superseded: ReadingColumns
    """Stored readings that are outranked by another one."""


class DecodedRows(NamedTuple):
    owners: list[int]
    names: list[list[str]]
    """For each row, the meters of its readings: once, or repeated in the same order."""
    counts: IntArray
    """Number of readings in each row."""
    columns: list[NDArray[Any]]
    """ts_us, kw, kwh_total, seq, trust, revision, incomplete, extra."""


def decode_plain(rows: Sequence[Any]) -> DecodedRows:
    names = [row[1].split(SEPARATOR) for row in rows]
    width = np.array([len(some) for some in names], dtype=np.int64)
    chunks = np.array([len(row[2]) for row in rows], dtype=np.int64) // (
        ARRAY_HEADER_BYTES + EIGHT_BYTE_ELEMENT * width
    )
    counts = chunks * width
    at = _elements_at(np.repeat(width, chunks))
    readings = int(counts.sum())
    return DecodedRows(
        [row[0] for row in rows],
        names,
        counts,
        [
            *(_elements([row[n] for row in rows], kind, at) for n, kind in enumerate(_EIGHTS, start=2)),
            *default_columns(readings),
        ],
    )  # fmt: skip


def default_columns(count: int) -> list[NDArray[Any]]:
    """trust, revision, incomplete and extra of readings with default values."""
    return [
        np.full(count, MOST_TRUSTED),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
        np.full(count, None, dtype=np.object_),
    ]


def _elements_at(sizes: IntArray) -> IntArray:
    """Offsets of the elements of arrays of these sizes, in words of four bytes."""
    chunk = np.repeat(np.arange(len(sizes)), sizes)
    return _HEADER_WORDS * (chunk + 1) + _ELEMENT_WORDS * np.arange(len(chunk)) + _LENGTH_WORDS


def _elements(sent: Sequence[bytes], kind: str, at: IntArray) -> NDArray[Any]:
    """The 8-byte elements at the offsets `at`."""
    words = np.frombuffer(b"".join(sent), dtype=np.uint32)
    values = np.empty((len(at), 2), dtype=np.uint32)
    values[:, 0], values[:, 1] = words[at], words[at + 1]
    return values.view(kind).ravel().astype(np.dtype(kind).newbyteorder("="))


def decode_full(rows: Sequence[Any]) -> DecodedRows:
    kinds = (*_EIGHTS, ">i2", ">i4", ">i4")
    columns = [received([row[n] for row in rows], kind) for n, kind in enumerate(kinds, start=2)]
    columns[4:6] = [column.astype(np.int64) for column in columns[4:6]]
    columns[6] = columns[6].astype(np.bool_)
    extra = np.array([text for row in rows for text in row[9]], dtype=np.object_)
    names = [row[1].split(SEPARATOR) for row in rows]
    counts = np.array([len(some) for some in names], dtype=np.int64)
    return DecodedRows([row[0] for row in rows], names, counts, [*columns, extra])


def merge(parts: Sequence[DecodedRows]) -> StoredReadings:
    """Combine the parts. Meters are numbered in sorted order, so that results do not depend on the order of
    rows."""
    rows = [row for part in parts for row in zip(part.owners, part.names, part.counts.tolist(), strict=True)]
    meter_ids: dict[int, set[str]] = {}
    for owner, names, _ in rows:
        meter_ids.setdefault(owner, set()).update(names)
    meters = [(owner, name) for owner in sorted(meter_ids) for name in sorted(meter_ids[owner])]
    number: dict[int, dict[str, int]] = {owner: {} for owner in meter_ids}
    for place, (owner, name) in enumerate(meters):
        number[owner][name] = place
    meter = [np.empty(0, dtype=np.int64)]
    for owner, names, count in rows:
        places = number[owner]
        meters_of_row = np.array([places[name] for name in names], dtype=np.int64)
        meter.append(np.tile(meters_of_row, count // len(names)))
    columns = [np.concatenate(column) for column in zip(*(part.columns for part in parts), strict=True)]
    everything = ReadingColumns(np.concatenate(meter), *columns)
    counted = winning_indices(everything)
    others = np.ones(len(everything), dtype=np.bool_)
    others[counted] = False
    return StoredReadings(meters, everything.chosen(counted), everything.chosen(others))
