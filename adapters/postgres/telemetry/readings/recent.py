"""Buffer of single readings: for 15 seconds they are stored as they came, one row per batch.

A chunk of one reading costs PostgreSQL a row and an index entry. Buffered readings cost almost nothing. They
are moved into chunks once a facility has sent more. Only readings with default attributes are buffered, and
none of a quarter-hour that may be finalized.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from adapters.postgres.telemetry.readings.chunk_encoder import facility_field
from adapters.postgres.wire_format.array_parameters import integers, smallints
from adapters.postgres.wire_format.binary_arrays import TEXT, array_of, element
from adapters.postgres.wire_format.copy_format import (
    COPY_SIGNATURE,
    COPY_TRAILER,
    POSTGRES_EPOCH_S,
    elements_of,
    received,
    texts_of,
)
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.meter_reading import PARTITIONS, checksum_of
from domain.telemetry.reading_arrays import BoolArray, IntArray
from domain.telemetry.reading_block import SEPARATOR, ReadingBlock

Connection = psycopg.Connection[Any]

MIN_FOR_A_CHUNK = 4
"""Fewer readings of a facility in one batch are buffered."""

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_FILTERED_FACILITIES = 16
"""For more facilities than this, filtering in SQL costs more than reading all."""
_US = 1_000_000
_EPOCH_US = POSTGRES_EPOCH_S * _US
_START = Struct("!hih")
_INTEGER, _BIGINT, _FLOAT8, _TIMESTAMPTZ = 23, 20, 701, 1184

_COPY = (
    "COPY recent_readings (partition, places, facility_ids, meter_ids, ts, kw, kwh_total, seq)"
    " FROM STDIN (FORMAT BINARY)"
)
_COLUMNS = """facility_ids, array_to_string(meter_ids, E'\\x1f'), array_send(ts), array_send(kw),
    array_send(kwh_total), array_send(seq)"""
_FROM = """FROM recent_readings
WHERE partition = ANY(%(partitions)s) AND (%(places)s::int[] IS NULL OR places && %(places)s)"""
_SELECT = f"SELECT {_COLUMNS} {_FROM}"
_DELETE = "DELETE FROM recent_readings WHERE partition = %s RETURNING"
_DRAIN = f"{_DELETE} {_COLUMNS}"
_DAYS = """
SELECT DISTINCT date_trunc('day', at, 'UTC') FROM recent_readings, unnest(ts) AS at WHERE partition = %s
"""
_RECORD_DRAINED = (
    "UPDATE telemetry_positions SET recent = %(left)s, recent_since = %(at)s WHERE partition = %(partition)s"
)


class RecentRow(msgspec.Struct, frozen=True):
    """The buffered readings of one batch."""

    row: bytes
    """For `add_recent`."""
    facility_ids: list[str]
    """Of each reading."""
    quarters: IntArray
    """Start of each reading's quarter-hour, in Unix seconds."""
    firsts: IntArray
    """Time of each reading, in Unix seconds."""


def split(partition: int, block: ReadingBlock) -> tuple[RecentRow | None, ReadingBlock | None]:
    """The readings of a batch that are buffered, encoded, and the others. None: there are none."""
    buffered = _are_buffered(partition, block)
    if not buffered.any():
        return None, block
    if buffered.all():
        return _row(partition, block), None
    return _row(partition, block.chosen(buffered)), block.chosen(~buffered)


def _are_buffered(partition: int, block: ReadingBlock) -> BoolArray:
    """Facilities of another partition are not buffered, because readers would not find them here."""
    few = block.counts < MIN_FOR_A_CHUNK
    if few.any():
        few &= _places(block.facility_ids) % PARTITIONS == partition
    buffered: BoolArray = np.repeat(few, block.counts)
    if block.rare is not None and buffered.any():
        buffered &= ~block.rare.unusual()
    return buffered


def _row(partition: int, block: ReadingBlock) -> RecentRow:
    """`block` is not empty."""
    count, facility_ids = len(block), block.facility_of_each()
    arrays = [
        (_INTEGER, elements_of(">i4", _signed(_places(facility_ids)))),
        (TEXT, b"".join(map(facility_field, facility_ids))),
        (TEXT, texts_of(block.meter_ids, count)[0]),
        (_TIMESTAMPTZ, elements_of(">i8", block.ts_us - _EPOCH_US)),
        (_FLOAT8, elements_of(">f8", block.kw)),
        (_FLOAT8, elements_of(">f8", block.kwh_total)),
        (_BIGINT, elements_of(">i8", block.seq)),
    ]
    fields = [element(array_of(kind, elements, count)) for kind, elements in arrays]
    row = b"".join([_START.pack(1 + len(fields), 2, partition), *fields])
    seconds = block.ts_us // _US
    return RecentRow(row, facility_ids, seconds // INTERVAL_S * INTERVAL_S, seconds)


def add_recent(conn: Connection, rows: Sequence[RecentRow]) -> None:
    """Add rows in the caller's transaction, which also updates the buffered counts of the partitions."""
    with conn.cursor().copy(_COPY.encode()) as copy:
        copy.write(b"".join([COPY_SIGNATURE, *(one.row for one in rows), COPY_TRAILER]))


def drain(conn: Connection, partition: int) -> ReadingBlock:
    """Remove and return all buffered readings of the partition. The caller holds its lock and writes them
    elsewhere."""
    with conn.cursor(binary=True) as cursor:
        return _block(cursor.execute(_DRAIN.encode(), (partition,)).fetchall())


def record_drained(conn: Connection, partition: int, *, left: int, at: datetime) -> None:
    """Record how many readings are buffered after the earlier ones were drained."""
    conn.execute(_RECORD_DRAINED, {"partition": partition, "left": left, "at": at})


def recent_readings(conn: Connection, facility_ids: Collection[str]) -> ReadingBlock:
    """The buffered readings of these facilities. Call this before chunks are read, so that readings that are
    moved meanwhile are found in both."""
    if not facility_ids:
        return ReadingBlock.joined([])
    places = _places(facility_ids)
    few = integers(_signed(places)) if len(places) <= _MAX_FILTERED_FACILITIES else None
    parameters = {"partitions": smallints(np.unique(places % PARTITIONS)), "places": few}
    with conn.cursor(binary=True) as cursor:
        block = _block(cursor.execute(_SELECT.encode(), parameters).fetchall())
    requested = frozenset(facility_ids)
    return block.chosen(np.array([one in requested for one in block.facility_ids], dtype=np.bool_))


def days_of_recent(conn: Connection, partition: int) -> list[datetime]:
    """The UTC days of the partition's buffered readings, as midnights."""
    return [day.astimezone(UTC) for (day,) in conn.execute(_DAYS, (partition,))]


def newest_of(block: ReadingBlock) -> dict[str, datetime]:
    """Time of each facility's newest reading."""
    newest: dict[str, int] = {}
    for facility_id, us in zip(block.facility_of_each(), block.ts_us.tolist(), strict=True):
        newest[facility_id] = max(us, newest.get(facility_id, us))
    return {facility_id: _UNIX_EPOCH + timedelta(microseconds=us) for facility_id, us in newest.items()}


def _block(rows: Sequence[Any]) -> ReadingBlock:
    facility_ids = [one for row in rows for one in row[0]]
    ts_us, kw, kwh_total, seq = (
        received([row[n] for row in rows], kind)
        for n, kind in enumerate((">i8", ">f8", ">f8", ">i8"), start=2)
    )
    return ReadingBlock(
        facility_ids=facility_ids,
        counts=np.ones(len(facility_ids), dtype=np.int64),
        meter_ids=SEPARATOR.join([row[1] for row in rows]),
        ts_us=ts_us + _EPOCH_US,
        kw=kw,
        kwh_total=kwh_total,
        seq=seq,
    )


_place = lru_cache(maxsize=65_536)(checksum_of)


def _places(facility_ids: Iterable[str]) -> IntArray:
    return np.array([_place(one) for one in facility_ids], dtype=np.int64)


def _signed(places: IntArray) -> NDArray[np.int32]:
    """As PostgreSQL's signed integers."""
    return places.astype(np.uint32).view(np.int32)
