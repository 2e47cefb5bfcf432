"""Insertion of readings, and marking of the quarter-hours that they affect.

Readings are appended as they come. A repeat or a correction is stored beside the earlier reading. Readers use
the one with the highest rank (domain.telemetry.reading_arrays), and finalization deletes the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.dirty_intervals import DirtyIntervals, mark_dirty
from adapters.postgres.telemetry.readings.chunk_encoder import Chunks, chunks_of, copy_chunks
from adapters.postgres.telemetry.readings.deduplication import novel_readings
from adapters.postgres.telemetry.readings.recent import (
    RecentRow,
    add_recent,
    drain,
    record_drained,
    split,
)
from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.clock import Clock
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry.store_health import TelemetryHealth
from domain.telemetry.facility_rollups import FINALIZED_AFTER, LOOK_AHEAD_S
from domain.telemetry.intervals import INTERVAL, INTERVAL_S
from domain.telemetry.reading_arrays import BoolArray
from domain.telemetry.reading_block import ReadingBlock, microseconds

Connection = psycopg.Connection[Any]

_MOVE_POSITIONS = """
INSERT INTO telemetry_positions AS p (partition, stream_seq, stored_at, recent, recent_since)
SELECT partition, max(stream_seq), %(at)s, sum(recent), CASE WHEN sum(recent) > 0 THEN %(at)s::timestamptz END
FROM unnest(%(partitions)s::smallint[], %(seqs)s::bigint[], %(recent)s::int[]) AS b (partition, stream_seq, recent)
GROUP BY partition
ON CONFLICT (partition) DO UPDATE
    SET stream_seq = greatest(p.stream_seq, EXCLUDED.stream_seq), stored_at = EXCLUDED.stored_at,
        recent = p.recent + EXCLUDED.recent,
        recent_since = CASE WHEN p.recent > 0 THEN p.recent_since ELSE EXCLUDED.recent_since END
RETURNING p.partition, p.settled_by, p.recent, p.recent_since
"""
_HAS_BUFFERED = "SELECT FROM telemetry_positions WHERE partition = %s AND recent > 0"
BUFFER_FOR = timedelta(seconds=15)
"""How long a reading is buffered; a typical meter sends once in this time."""
MAX_BUFFERED = 32_768
"""Buffered readings per partition; moving this many into chunks takes 0.1 s."""
_MAX_CLOCK_SKEW = timedelta(seconds=60)
"""Largest assumed difference between the clocks of two workers."""


class MarkedIntervals:
    """Cache of the marks that are already stored: a mark is not removed before its quarter-hour can be
    finalized.

    Not safe for use by two threads at once.
    """

    def __init__(self) -> None:
        self._marked: DirtyIntervals = {}

    def missing(self, dirty: DirtyIntervals, at: datetime) -> DirtyIntervals:
        """The part of `dirty` that has to be marked at `at`."""
        until = (at + _MAX_CLOCK_SKEW - FINALIZED_AFTER).timestamp()
        self._marked = {start: facility_ids for start, facility_ids in self._marked.items() if start > until}
        results = {
            start: facility_ids - self._marked.get(start, set()) for start, facility_ids in dirty.items()
        }
        return {start: facility_ids for start, facility_ids in results.items() if facility_ids}

    def add(self, marked: DirtyIntervals) -> None:
        """Add marks after their commit."""
        for start, facility_ids in marked.items():
            self._marked.setdefault(start, set()).update(facility_ids)

    def clear(self) -> None:
        """Another server may have lost them."""
        self._marked.clear()


class EncodedReadings(NamedTuple):
    """A batch of readings in the form in which it is written."""

    chunks: Chunks | None
    recent: RecentRow | None


class ReadingBatch(NamedTuple):
    """Readings of one partition of the telemetry log."""

    partition: int
    stream_seq: int
    """Position in the log after the batch."""
    readings: ReadingBlock
    encoded: EncodedReadings | None
    """None if the readings have to be compared with stored ones."""

    @property
    def recent(self) -> int:
        """Number of readings that are to be buffered."""
        return 0 if self.encoded is None or self.encoded.recent is None else len(self.encoded.recent.firsts)


class InsertResult(NamedTuple):
    """Result of one batch."""

    readings: int
    marked: DirtyIntervals
    """To be added to MarkedIntervals after the commit."""
    finalized_by: datetime | None
    """Time up to which quarter-hours of the partition may have been finalized."""


class ReadingWriter:
    """Writes batches of readings, those of one call in one transaction. Calls at once have no partition in common."""

    def __init__(self, pool: ConnectionPool[Any], clock: Clock, health: TelemetryHealth) -> None:
        self._pool = pool
        self._clock = clock
        self._health = health
        self._marks: defaultdict[int, MarkedIntervals] = defaultdict(MarkedIntervals)
        """By partition."""
        self._finalized_by: dict[int, datetime] = {}
        """By partition, as of the last write."""
        self._server = ""

    def batch_of(self, partition: int, stream_seq: int, readings: ReadingBlock) -> ReadingBatch:
        """Prepare a batch before any lock is taken."""
        finalized_at = self._finalized_by.get(partition) or self._clock.now()
        encoded = None if has_late(readings, finalized_at) else _encode(partition, readings)
        return ReadingBatch(partition, stream_seq, readings, encoded)

    def write(self, batches: Sequence[ReadingBatch]) -> list[int]:
        """The number of readings stored of each batch. Raises ReadingsRefused, TelemetryStoreUnavailable."""
        partitions = [batch.partition for batch in batches]
        try:
            timer = self._health.timed("write readings", is_write=True)
            with telemetry_transaction(self._pool, timer, partitions=partitions, waits="5s") as conn:
                self._check_server(f"{conn.info.host}:{conn.info.port}")
                results = _add_batches(conn, batches, self._marks, at=self._clock.now())
        except TelemetryStoreUnavailable:
            self._check_server("")
            raise
        for partition, added in zip(partitions, results, strict=True):
            self._marks[partition].add(added.marked)
            if added.finalized_by is not None:
                self._finalized_by[partition] = added.finalized_by
        return [added.readings for added in results]

    def _check_server(self, server: str) -> None:
        """Clear the marks if the server changed, since another server may have lost them."""
        if server != self._server:
            self._server = server
            for marks in list(self._marks.values()):
                marks.clear()


def _encode(partition: int, readings: ReadingBlock) -> EncodedReadings:
    recent, others = split(partition, readings)
    return EncodedReadings(None if others is None else chunks_of(others), recent)


def _add_batches(
    conn: Connection, batches: Sequence[ReadingBatch], marks: Mapping[int, MarkedIntervals], *, at: datetime
) -> list[InsertResult]:
    """Move the positions, insert the readings and mark their quarter-hours. The caller holds the partitions'
    locks.

    Late readings are compared with stored ones, and repeats are skipped. Readings of quarter-hours that are
    not finalized are all inserted.
    """
    results, to_mark = [], []
    chunks: list[Chunks] = []
    buffered: dict[int, list[RecentRow]] = {}
    finalized_by, due = _move_positions(conn, batches, at)
    for batch in batches:
        readings, encoded = batch.readings, batch.encoded
        # Readings are late if their quarter-hour was finalized, whatever the clock says: during an outage
        # nothing is finalized.
        finalized_at = finalized_by.get(batch.partition, at)
        if encoded is None or has_late(readings, finalized_at):
            # Written as chunks, because they were not counted as buffered when the position moved.
            readings = _without_late_repeats(conn, readings, finalized_at)
            encoded = EncodedReadings(chunks_of(readings), None)
        missing: DirtyIntervals = {}
        if len(readings):
            missing = marks[batch.partition].missing(_dirtied_by(encoded), finalized_at)
            to_mark.append((batch.partition, missing))
        if encoded.chunks is not None:
            chunks.append(encoded.chunks)
        if encoded.recent is not None:
            buffered.setdefault(batch.partition, []).append(encoded.recent)
        results.append(InsertResult(len(readings), missing, finalized_by.get(batch.partition)))
    if any(missing for _, missing in to_mark):
        mark_dirty(conn, to_mark)
    if due is not None:
        chunks.append(chunks_of(drain(conn, due)))
        record_drained(conn, due, left=sum(len(one.firsts) for one in buffered.get(due, [])), at=at)
    _write(conn, chunks, [one for rows in buffered.values() for one in rows])
    return results


def _write(conn: Connection, chunks: Sequence[Chunks], buffered: Sequence[RecentRow]) -> None:
    if any(some.rows for some in chunks):
        copy_chunks(conn, chunks)
    if buffered:
        add_recent(conn, buffered)


def flush_buffer(conn: Connection, partition: int, *, at: datetime) -> None:
    """Move the buffered readings of a partition into chunks. The caller holds its lock."""
    if conn.execute(_HAS_BUFFERED, (partition,)).fetchone() is not None:
        copy_chunks(conn, [chunks_of(drain(conn, partition))])
        record_drained(conn, partition, left=0, at=at)


def _move_positions(
    conn: Connection, batches: Sequence[ReadingBatch], at: datetime
) -> tuple[dict[int, datetime], int | None]:
    """Time of the last finalization of each partition, and the partition whose buffer is to be drained, if
    one is due.

    Only one at a time, since everything in the transaction waits for it.
    """
    columns = zip(*((batch.partition, batch.stream_seq, batch.recent) for batch in batches), strict=True)
    partitions, seqs, recent = (list(column) for column in columns)
    params = {"partitions": partitions, "seqs": seqs, "recent": recent, "at": at}
    finalized_by, due = {}, []
    for partition, finalized_at, buffered, since in conn.execute(_MOVE_POSITIONS, params):
        if finalized_at is not None:
            finalized_by[partition] = finalized_at
        if buffered > 0 and (buffered >= MAX_BUFFERED or since is None or since <= at - BUFFER_FOR):
            due.append((buffered, partition))
    return finalized_by, max(due)[1] if due else None


def _without_late_repeats(conn: Connection, readings: ReadingBlock, at: datetime) -> ReadingBlock:
    """Only late readings are compared one by one: a few of them may come with many others."""
    late = _are_late(readings, at)
    if not late.any():
        return readings
    new = ReadingBlock.of(novel_readings(conn, list(readings.chosen(late))))
    return ReadingBlock.joined([new, readings.chosen(~late)])


def has_late(readings: ReadingBlock, at: datetime) -> bool:
    """True if a reading may belong to a quarter-hour that was finalized."""
    return bool(_are_late(readings, at).any())


def _are_late(readings: ReadingBlock, at: datetime) -> BoolArray:
    late: BoolArray = readings.ts_us < microseconds([_finalized_until(at)])[0]
    return late


def _finalized_until(at: datetime) -> datetime:
    return at - FINALIZED_AFTER + INTERVAL


def _dirtied_by(encoded: EncodedReadings) -> DirtyIntervals:
    """The affected quarter-hours. A quarter-hour's register value ends with the first readings after it, and
    its coverage begins with the last ones before it."""
    dirty: DirtyIntervals = defaultdict(set)
    for part in encoded:
        if part is None:
            continue
        for start in np.unique(part.quarters).tolist():
            inside = part.quarters == start
            facility_ids = _selected(part.facility_ids, inside)
            dirty[start] |= facility_ids
            dirty[start + INTERVAL_S] |= facility_ids
            early = inside & (part.firsts < start + LOOK_AHEAD_S)
            if early.any():
                dirty[start - INTERVAL_S] |= _selected(part.facility_ids, early)
    return dirty


def _selected(facility_ids: Sequence[str], which: BoolArray) -> set[str]:
    return set(compress(facility_ids, which.tolist()))
