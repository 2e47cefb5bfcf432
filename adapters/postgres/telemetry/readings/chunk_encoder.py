"""Encoder of readings as chunks for COPY: the readings of a facility's minute that arrive together are one
row of arrays.

A row costs PostgreSQL the same, however many readings it holds. Single readings of a facility are therefore
buffered until there are more (recent.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec
import numpy as np
import psycopg
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from adapters.postgres.wire_format.binary_arrays import (
    ARRAY_HEADER_BYTES,
    EIGHT_BYTE_ELEMENT,
    LENGTH_BYTES,
    NULL,
    array_of,
    element,
    text,
)
from adapters.postgres.wire_format.copy_format import (
    COPY_SIGNATURE,
    COPY_TRAILER,
    POSTGRES_EPOCH_S,
    elements_of,
    texts_of,
)
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.minute_ranges import MINUTE_S
from domain.telemetry.reading_arrays import MOST_TRUSTED, IntArray
from domain.telemetry.reading_block import SEPARATOR, RareColumns, ReadingBlock

COLUMNS = "quarter, facility_id, meter_ids, ts, kw, kwh_total, seq, trust, revision, incomplete, extra"
_COPY = f"COPY reading_chunks ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
_US = 1_000_000

_BIGINT, _SMALLINT, _INTEGER, _BOOLEAN, _FLOAT8, _TEXT, _TIMESTAMPTZ = 20, 21, 23, 16, 701, 25, 1184
_FIELDS = Struct("!hiq")
_LENGTH = Struct("!i")
_HEADER_BYTES = LENGTH_BYTES + ARRAY_HEADER_BYTES
_ALL_PLAIN = NULL * 4
_MIN_GROUP = 8
"""Fewer chunks of one shape are faster to encode one by one."""


class Chunks(msgspec.Struct, frozen=True):
    """The encoded chunks of a batch of readings."""

    rows: bytes
    """For `copy_chunks`."""
    facility_ids: list[str]
    """Of each chunk."""
    quarters: IntArray
    """Start of each chunk's quarter-hour, in Unix seconds."""
    firsts: IntArray
    """Time of each chunk's first reading, in Unix seconds."""


def chunks_of(block: ReadingBlock) -> Chunks:
    """Encode one batch, in any order."""
    if not len(block):
        return Chunks(b"", [], block.ts_us, block.ts_us)
    number = {facility_id: n for n, facility_id in enumerate(dict.fromkeys(block.facility_ids))}
    facility = np.repeat([number[one] for one in block.facility_ids], block.counts)
    order = _order(block, facility, is_each_once=len(number) == len(block.facility_ids))
    meter_ids = block.meter_ids
    if order is not None:
        facility = facility[order]
        names = block.meter_of_each()
        meter_ids = SEPARATOR.join([names[n] for n in order.tolist()])
    ts_us = block.ts_us if order is None else block.ts_us[order]
    minute = ts_us // (MINUTE_S * _US)
    changes = (np.diff(facility) != 0) | (np.diff(minute) != 0)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    ends = np.append(starts[1:], len(block))
    facility_ids = list(number)
    own = [facility_ids[n] for n in facility[starts].tolist()]
    quarter_s = minute[starts] * MINUTE_S // INTERVAL_S * INTERVAL_S
    rows = _Encoder(block, order, meter_ids, ts_us).rows(own, quarter_s, starts, ends)
    return Chunks(rows, own, quarter_s, ts_us[starts] // _US)


def _order(block: ReadingBlock, facility: IntArray, *, is_each_once: bool) -> IntArray | None:
    """The order by facility and time; None if the block is ordered already."""
    if is_each_once and not ((np.diff(block.ts_us) < 0) & (np.diff(facility) == 0)).any():
        return None
    return np.lexsort((block.ts_us, facility))


def copy_chunks(conn: psycopg.Connection[Any], batches: Sequence[Chunks]) -> None:
    """Add the chunks in the caller's transaction."""
    with conn.cursor().copy(_COPY.encode()) as copy:
        copy.write(b"".join([COPY_SIGNATURE, *(chunks.rows for chunks in batches), COPY_TRAILER]))


class _Encoder:
    """Readings in the order of their chunks, with each column as concatenated elements."""

    def __init__(
        self, block: ReadingBlock, order: IntArray | None, meter_ids: str, ts_us: NDArray[np.int64]
    ) -> None:
        def ordered(values: NDArray[Any]) -> NDArray[Any]:
            return values if order is None else values[order]

        self._meters, self._meter_at = texts_of(meter_ids, len(block))
        """Offset of each element, and of the end."""
        self._eights = [
            (_TIMESTAMPTZ, elements_of(">i8", ts_us - POSTGRES_EPOCH_S * _US)),
            (_FLOAT8, elements_of(">f8", ordered(block.kw))),
            (_FLOAT8, elements_of(">f8", ordered(block.kwh_total))),
            (_BIGINT, elements_of(">i8", ordered(block.seq))),
        ]
        rare = block.rare
        if rare is not None and order is not None:
            rare = rare.chosen(order)
        self._rare = rare
        self._are_odd = np.zeros(len(block), dtype=np.bool_) if rare is None else rare.unusual()

    def rows(self, facility_ids: list[str], quarter_s: IntArray, starts: IntArray, ends: IntArray) -> bytes:
        """All chunks. Chunks of the same shape are encoded together, without a loop over each."""
        facilities = list(map(facility_field, facility_ids))
        counts, widths = ends - starts, self._meter_at[ends] - self._meter_at[starts]
        odd = np.logical_or.reduceat(self._are_odd, starts)
        parts: list[bytes] = []
        for which in _alike(counts, widths, np.fromiter(map(len, facilities), np.int64), odd):
            own = [facilities[n] for n in which.tolist()]
            places = zip(own, *(values[which].tolist() for values in (quarter_s, starts, ends)), strict=True)
            if odd[which[0]] or len(which) < _MIN_GROUP:
                parts += [part for place in places for part in self._row(*place)]
            else:
                first = b"".join(self._row(*next(places)))
                parts.append(self._rows_like(first, own, quarter_s[which], starts[which], ends[which]))
        return b"".join(parts)

    def _row(self, facility: bytes, quarter_s: int, start: int, end: int) -> list[bytes]:
        """The chunk of readings start .. end-1, in pieces."""
        count = end - start
        names = self._meters[self._meter_at[start] : self._meter_at[end]]
        parts = [
            _FIELDS.pack(11, 8, (quarter_s - POSTGRES_EPOCH_S) * _US),
            facility,
            _header(_TEXT, count, len(names)),
            names,
        ]
        for kind, elements in self._eights:
            parts.append(_header(kind, count, EIGHT_BYTE_ELEMENT * count))
            parts.append(elements[EIGHT_BYTE_ELEMENT * start : EIGHT_BYTE_ELEMENT * end])
        if self._rare is None or not self._are_odd[start:end].any():
            parts.append(_ALL_PLAIN)
        else:
            parts += _rare_fields(self._rare, start, end)
        return parts

    def _rows_like(
        self, first: bytes, facilities: list[bytes], quarter_s: IntArray, starts: IntArray, ends: IntArray
    ) -> bytes:
        """Chunks of the same shape as `first`, which is the first of them: only the differing bytes are
        replaced."""
        rows = np.tile(np.frombuffer(first, np.uint8), (len(starts), 1))
        quarters = ((quarter_s - POSTGRES_EPOCH_S) * _US).astype(">i8")
        rows[:, _FIELDS.size - 8 : _FIELDS.size] = quarters.view(np.uint8).reshape(-1, 8)
        at = _FIELDS.size + len(facilities[0])
        rows[:, _FIELDS.size : at] = np.frombuffer(b"".join(facilities), np.uint8).reshape(len(starts), -1)
        names_at = self._meter_at[starts]
        pieces = [(self._meters, names_at, int(self._meter_at[ends[0]] - names_at[0]))]
        width = EIGHT_BYTE_ELEMENT * int(ends[0] - starts[0])
        pieces += [(elements, EIGHT_BYTE_ELEMENT * starts, width) for _, elements in self._eights]
        for source, places, width in pieces:
            at += _HEADER_BYTES
            rows[:, at : at + width] = _slices(source, places, width)
            at += width
        return rows.tobytes()


def _rare_fields(rare: RareColumns, start: int, end: int) -> list[bytes]:
    """trust, revision, incomplete and extra of readings start .. end-1."""
    smallint, integer, boolean = Struct("!ih"), Struct("!ii"), Struct("!ib")
    trust, revision, incomplete = (
        column[start:end].tolist() for column in (rare.trust, rare.revision, rare.incomplete)
    )
    return [
        _rare_field(_SMALLINT, [smallint.pack(2, one) for one in trust], smallint.pack(2, MOST_TRUSTED)),
        _rare_field(_INTEGER, [integer.pack(4, one) for one in revision], integer.pack(4, 0)),
        _rare_field(_BOOLEAN, [boolean.pack(1, one) for one in incomplete], boolean.pack(1, 0)),
        _rare_field(_TEXT, [text(one) for one in rare.extra[start:end]], NULL),
    ]


def _rare_field(kind: int, elements: list[bytes], defaults: bytes) -> bytes:
    """NULL if all readings of a chunk have the default value."""
    if all(one == defaults for one in elements):
        return NULL
    return element(array_of(kind, b"".join(elements), len(elements), has_nulls=NULL in elements))


def _alike(*shapes: NDArray[Any]) -> list[IntArray]:
    """Groups of indexes at which all of `shapes` are equal."""
    order: IntArray = np.lexsort(shapes)
    changes = np.logical_or.reduce([np.diff(shape[order]) != 0 for shape in shapes])
    return np.split(order, np.flatnonzero(changes) + 1)


def _slices(source: bytes, places: IntArray, width: int) -> NDArray[np.uint8]:
    """The `width` bytes at each of the places, one row each."""
    octets = np.frombuffer(source, np.uint8)
    if (np.diff(places) == width).all():
        return octets[places[0] : places[-1] + width].reshape(-1, width)
    cut: NDArray[np.uint8] = sliding_window_view(octets, width)[places]
    return cut


@lru_cache(maxsize=65_536)
def facility_field(facility_id: str) -> bytes:
    """The id as a field of a row or an element of an array. Cached, since the same ids occur in every batch."""
    return text(facility_id)


@lru_cache(maxsize=8192)
def _header(kind: int, count: int, width: int) -> bytes:
    """Prefix of an array field whose elements take `width` bytes: the field's length and the array header."""
    start = array_of(kind, b"-", count)[:-1]
    return _LENGTH.pack(len(start) + width) + start
