"""Readings into PostgreSQL in the caller's transaction, and a note of the quarter-hours that they are news to.

They are added as they come. A repeat or a correction stands beside what was there, readers take the word that counts
(domain.telemetry.reading_arrays), and settling leaves nothing but that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import psycopg

from adapters.postgres.telemetry.dirty_intervals import News, note
from adapters.postgres.telemetry.readings.chunk_encoder import Chunks, chunks_of, copy_chunks
from adapters.postgres.telemetry.readings.deduplication import new_to
from adapters.postgres.telemetry.readings.recent import (
    RecentRow,
    add_recent,
    are_due,
    is_buffered,
    recent_row,
    record_drained,
    take,
)
from domain.telemetry.facility_rollups import LOOK_AHEAD_S, SETTLED_AFTER
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
_WAITS = "SELECT FROM telemetry_positions WHERE partition = %s AND recent > 0"
_CLOCKS_APART = timedelta(seconds=60)
"""By more than this no two workers' clocks differ."""


class QuarterNotes:
    """Which quarter-hours this process knows to be noted: before one can be settled, nobody takes its note away.

    Not for two threads at once.
    """

    def __init__(self) -> None:
        self._noted: News = {}

    def missing(self, news: News, at: datetime) -> News:
        """What of `news` has to be noted at `at`."""
        until = (at + _CLOCKS_APART - SETTLED_AFTER).timestamp()
        self._noted = {start: known for start, known in self._noted.items() if start > until}
        found = {start: mine - self._noted.get(start, set()) for start, mine in news.items()}
        return {start: mine for start, mine in found.items() if mine}

    def remember(self, noted: News) -> None:
        """Once they are committed."""
        for start, facility_ids in noted.items():
            self._noted.setdefault(start, set()).update(facility_ids)

    def forget(self) -> None:
        """Another server may know less."""
        self._noted.clear()


class Written(NamedTuple):
    """What readings are written as."""

    chunks: Chunks | None
    recent: RecentRow | None


class Batch(NamedTuple):
    """What comes of one partition of the telemetry log."""

    partition: int
    stream_seq: int
    """The position that it reaches."""
    readings: ReadingBlock
    written: Written | None
    """None: they have to be compared with what is stored."""
    notes: QuarterNotes

    @property
    def recent(self) -> int:
        """How many of its readings are to wait for others."""
        return 0 if self.written is None or self.written.recent is None else len(self.written.recent.firsts)


class Added(NamedTuple):
    """What a batch came to."""

    readings: int
    noted: News
    """For the QuarterNotes to remember once it is committed."""
    settled_by: datetime | None
    """The latest moment by which something of the partition was settled."""


def batch_of(
    partition: int, stream_seq: int, readings: ReadingBlock, notes: QuarterNotes, *, at: datetime
) -> Batch:
    """All that can be made of it before anybody waits. `at`: as far as is known, by when something was settled."""
    written = None if has_late(readings, at) else _written(partition, readings)
    return Batch(partition, stream_seq, readings, written, notes)


def _written(partition: int, readings: ReadingBlock) -> Written:
    alone = is_buffered(partition, readings)
    if not alone.any():
        return Written(chunks_of(readings), None)
    if alone.all():
        return Written(None, recent_row(partition, readings))
    return Written(chunks_of(readings.chosen(~alone)), recent_row(partition, readings.chosen(alone)))


def add_batches(conn: Connection, batches: Sequence[Batch], *, at: datetime) -> list[Added]:
    """Move the positions, add their readings, note the quarter-hours of these. The caller holds the partitions' locks.

    What comes late is compared with what is stored, and a repeat of it is not added; of the quarter-hours that are not
    settled yet everything is.
    """
    found, noting = [], []
    adding: list[Chunks] = []
    waiting: dict[int, list[RecentRow]] = {}
    settled_by, due = _moved(conn, batches, at)
    for batch in batches:
        readings, written = batch.readings, batch.written
        # What was settled, and no clock, says what is late: after an outage nothing was.
        by = settled_by.get(batch.partition, at)
        if written is None or has_late(readings, by):
            # In chunks, for what was not told to wait when the position moved is not counted there.
            readings = _without_late_repeats(conn, readings, by)
            written = Written(chunks_of(readings), None)
        missing: News = {}
        if len(readings):
            missing = batch.notes.missing(_news(written), by)
            noting.append((batch.partition, missing))
        if written.chunks is not None:
            adding.append(written.chunks)
        if written.recent is not None:
            waiting.setdefault(batch.partition, []).append(written.recent)
        found.append(Added(len(readings), missing, settled_by.get(batch.partition)))
    if any(missing for _, missing in noting):
        note(conn, noting)
    if due is not None:
        adding.append(chunks_of(take(conn, due)))
        record_drained(conn, due, left=sum(len(one.firsts) for one in waiting.get(due, [])), at=at)
    _put(conn, adding, [one for rows in waiting.values() for one in rows])
    return found


def _put(conn: Connection, chunks: Sequence[Chunks], waiting: Sequence[RecentRow]) -> None:
    if any(some.rows for some in chunks):
        copy_chunks(conn, chunks)
    if waiting:
        add_recent(conn, waiting)


def file_recent(conn: Connection, partition: int, *, at: datetime) -> None:
    """What waits of a partition becomes chunks. The caller holds its lock."""
    if conn.execute(_WAITS, (partition,)).fetchone() is not None:
        copy_chunks(conn, [chunks_of(take(conn, partition))])
        record_drained(conn, partition, left=0, at=at)


def _moved(
    conn: Connection, batches: Sequence[Batch], at: datetime
) -> tuple[dict[int, datetime], int | None]:
    """By when something of each partition was settled, and of which one what waits is to be filed.

    One at a time: whatever is written together waits for it.
    """
    columns = zip(*((batch.partition, batch.stream_seq, batch.recent) for batch in batches), strict=True)
    partitions, seqs, recent = (list(column) for column in columns)
    params = {"partitions": partitions, "seqs": seqs, "recent": recent, "at": at}
    settled_by, waits = {}, []
    for partition, by, waiting, since in conn.execute(_MOVE_POSITIONS, params):
        if by is not None:
            settled_by[partition] = by
        if are_due(waiting, since, at):
            waits.append((waiting, partition))
    return settled_by, max(waits)[1] if waits else None


def _without_late_repeats(conn: Connection, readings: ReadingBlock, at: datetime) -> ReadingBlock:
    """Only what is late is looked at one by one: a few such readings may come with many others."""
    late = _are_late(readings, at)
    if not late.any():
        return readings
    new = ReadingBlock.of(new_to(conn, list(readings.chosen(late))))
    return ReadingBlock.joined([new, readings.chosen(~late)])


def has_late(readings: ReadingBlock, at: datetime) -> bool:
    """Whether one of them may be of a quarter-hour that was settled already."""
    return bool(_are_late(readings, at).any())


def _are_late(readings: ReadingBlock, at: datetime) -> BoolArray:
    late: BoolArray = readings.ts_us < microseconds([_settled_until(at)])[0]
    return late


def _settled_until(at: datetime) -> datetime:
    return at - SETTLED_AFTER + INTERVAL


def _news(written: Written) -> News:
    """A quarter-hour's register ends with the first readings after it, and its coverage begins with those before it."""
    news: News = defaultdict(set)
    for part in written:
        if part is None:
            continue
        for start in np.unique(part.quarters).tolist():
            inside = part.quarters == start
            mine = _those(part.facility_ids, inside)
            news[start] |= mine
            news[start + INTERVAL_S] |= mine
            early = inside & (part.firsts < start + LOOK_AHEAD_S)
            if early.any():
                news[start - INTERVAL_S] |= _those(part.facility_ids, early)
    return news


def _those(facility_ids: Sequence[str], which: BoolArray) -> set[str]:
    return set(compress(facility_ids, which.tolist()))
