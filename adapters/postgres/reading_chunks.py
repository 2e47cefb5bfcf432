"""Readings as chunks for COPY: what came together of a facility's minute is one row, its values arrays.

The row costs PostgreSQL what it costs, however many readings are in it; a meter that sends alone has a row each.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from adapters.postgres.binary_arrays import NULL, array_of, element, text
from adapters.postgres.binary_rows import COPY_SIGNATURE, COPY_TRAILER, POSTGRES_EPOCH_S, fields_of
from application.ports.telemetry_store import ReadingsRefused
from domain.meter_intervals import INTERVAL_S
from domain.meter_reading import TRUST, MeterReading
from domain.minute_spans import MINUTE_S
from domain.reading_columns import MOST_TRUSTED

COLUMNS = "quarter, facility_id, meter_ids, ts, kw, kwh_total, seq, trust, revision, incomplete, extra"
_COPY = f"COPY reading_chunks ({COLUMNS}) FROM STDIN (FORMAT BINARY)"

SEPARATOR = "\x1f"
"""Between the ids of meters where they are read together; in no id."""

_BIGINT, _SMALLINT, _INTEGER, _BOOLEAN, _FLOAT8, _TEXT, _TIMESTAMPTZ = 20, 21, 23, 16, 701, 25, 1184
_FIELDS = Struct("!hiq")
_LENGTH = Struct("!i")
_ALL_PLAIN = NULL * 4
_RANK = {quality: rank for rank, quality in enumerate(TRUST)}


class Chunks(msgspec.Struct, frozen=True):
    """What a batch of readings is written as."""

    rows: bytes
    """For `copied`."""
    firsts: dict[tuple[str, int], int]
    """(Facility, start of the quarter-hour) -> its first reading, both in Unix seconds."""


def chunks_of(readings: Sequence[MeterReading]) -> Chunks:
    """Of one batch, in any order. Raises ReadingsRefused for a meter id that could not be read again."""
    if SEPARATOR in "".join([r.meter_id for r in readings]):
        raise ReadingsRefused("a meter id holds the control character 0x1f")
    unix_s = np.array([r.ts.timestamp() for r in readings], dtype=np.float64)
    minutes = (unix_s // MINUTE_S).astype(np.int64).tolist()
    groups: dict[tuple[str, int], list[int]] = {}
    for n, key in enumerate(zip([r.facility_id for r in readings], minutes, strict=True)):
        group = groups.get(key)
        if group is None:
            groups[key] = [n]
        else:
            group.append(n)
    ends = np.cumsum([len(group) for group in groups.values()])
    order = np.array([n for group in groups.values() for n in group], dtype=np.int64)
    in_groups = np.repeat(np.arange(len(groups)), np.diff(ends, prepend=0))
    order = order[np.lexsort((unix_s[order], in_groups))]
    written = _Written([readings[n] for n in order.tolist()], unix_s[order])
    parts: list[bytes] = []
    firsts: dict[tuple[str, int], int] = {}
    start = 0
    for (facility_id, minute), end in zip(groups, ends.tolist(), strict=True):
        quarter = minute * MINUTE_S // INTERVAL_S * INTERVAL_S
        parts += written.row(facility_id, quarter, start, end)
        first = int(written.unix_s[start])
        firsts[facility_id, quarter] = min(first, firsts.get((facility_id, quarter), first))
        start = end
    return Chunks(b"".join(parts), firsts)


def copy_chunks(conn: psycopg.Connection[Any], batches: Sequence[Chunks]) -> None:
    """Add them, in the caller's transaction."""
    with conn.cursor().copy(_COPY.encode()) as copy:
        copy.write(b"".join([COPY_SIGNATURE, *(chunks.rows for chunks in batches), COPY_TRAILER]))


def moment(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


class _Written:
    """Readings in the order of their chunks, each column as elements one after the other."""

    def __init__(self, readings: Sequence[MeterReading], unix_s: NDArray[np.float64]) -> None:
        self.unix_s = unix_s
        ts = np.rint(unix_s * 1e6).astype(np.int64) - POSTGRES_EPOCH_S * 1_000_000
        seq = [-1 if r.seq is None else r.seq for r in readings]
        self._meters = [element(r.meter_id.encode()) for r in readings]
        self._eights = [
            (_TIMESTAMPTZ, _elements(">i8", ts)),
            (_FLOAT8, _elements(">f8", np.array([r.kw for r in readings], dtype=np.float64))),
            (_FLOAT8, _elements(">f8", np.array([r.kwh_total for r in readings], dtype=np.float64))),
            (_BIGINT, _elements(">i8", np.array(seq, dtype=np.int64))),
        ]
        self._rare = _rare_columns(readings)

    def row(self, facility_id: str, quarter: int, start: int, end: int) -> list[bytes]:
        """The chunk of readings start .. end-1, in pieces."""
        count = end - start
        place = (quarter - POSTGRES_EPOCH_S) * 1_000_000
        parts = [
            _FIELDS.pack(11, 8, place),
            text(facility_id),
            element(array_of(_TEXT, b"".join(self._meters[start:end]), count)),
        ]
        for kind, elements in self._eights:
            parts.append(_header(kind, count, 12))
            parts.append(elements[12 * start : 12 * end])
        if self._rare is None:
            parts.append(_ALL_PLAIN)
        else:
            parts += [column.field(start, end) for column in self._rare]
        return parts


class _Rare(msgspec.Struct, frozen=True):
    """A column that is NULL where all of a chunk's readings are as they usually are."""

    kind: int
    elements: list[bytes]
    usual: bytes

    def field(self, start: int, end: int) -> bytes:
        chosen = self.elements[start:end]
        if all(one == self.usual for one in chosen):
            return NULL
        return element(array_of(self.kind, b"".join(chosen), len(chosen), has_nulls=NULL in chosen))


def _rare_columns(readings: Sequence[MeterReading]) -> list[_Rare] | None:
    """trust, revision, incomplete, extra; None where all of it is as usual."""
    quality, revision = [r.quality for r in readings], [r.revision for r in readings]
    incomplete, extra = [r.incomplete for r in readings], [r.extra for r in readings]
    is_usual = quality.count("measured") == extra.count(None) == len(readings)
    if is_usual and not any(revision) and not any(incomplete):
        return None
    smallint, integer, boolean = Struct("!ih"), Struct("!ii"), Struct("!ib")
    return [
        _Rare(_SMALLINT, [smallint.pack(2, _RANK[one]) for one in quality], smallint.pack(2, MOST_TRUSTED)),
        _Rare(_INTEGER, [integer.pack(4, one) for one in revision], integer.pack(4, 0)),
        _Rare(_BOOLEAN, [boolean.pack(1, one) for one in incomplete], boolean.pack(1, 0)),
        _Rare(_TEXT, [text(one) for one in extra], NULL),
    ]


def _elements(kind: str, values: NDArray[Any]) -> bytes:
    return fields_of([("value", kind)], {"value": values}).tobytes()


@lru_cache(maxsize=4096)
def _header(kind: int, count: int, width: int) -> bytes:
    """Of an array field: its length in bytes, and what comes before its elements."""
    start = array_of(kind, b"-", count)[:-1]
    return _LENGTH.pack(len(start) + width * count) + start
