"""Readings into PostgreSQL in the caller's transaction, and a note of the quarter-hours that they are news to.

They are added as they come. A repeat or a correction stands beside what was there, readers take the word that counts
(domain.reading_columns), and settling leaves nothing but that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from adapters.postgres.quarter_news import note
from adapters.postgres.reading_chunks import chunks_of, copy_chunks, moment
from adapters.postgres.stored_chunks import new_to
from application.ports.telemetry_progress import Quarter
from domain.meter_intervals import INTERVAL, INTERVAL_S
from domain.meter_reading import MeterReading
from domain.rollups import LOOK_AHEAD_S, SETTLED_AFTER

Connection = psycopg.Connection[Any]

_MOVE_POSITIONS = """
INSERT INTO telemetry_positions AS p (partition, stream_seq, stored_at)
SELECT partition, max(stream_seq), %(at)s FROM unnest(%(partitions)s::smallint[], %(seqs)s::bigint[])
    AS b (partition, stream_seq) GROUP BY partition
ON CONFLICT (partition) DO UPDATE
    SET stream_seq = greatest(p.stream_seq, EXCLUDED.stream_seq), stored_at = EXCLUDED.stored_at
"""
_CLOCKS_APART = timedelta(seconds=60)
"""By more than this no two workers' clocks differ."""


class QuarterNotes:
    """Which quarter-hours this process knows to be noted: before one can be settled, nobody takes its note away.

    Not for two threads at once.
    """

    def __init__(self) -> None:
        self._noted: dict[int, set[str]] = {}

    def missing(self, wanted: Iterable[tuple[str, int]], at: datetime) -> list[tuple[str, int]]:
        """Those of `wanted` (facility, start in Unix seconds) that have to be noted at `at`."""
        until = (at + _CLOCKS_APART - SETTLED_AFTER).timestamp()
        self._noted = {start: known for start, known in self._noted.items() if start > until}
        return [(f, start) for f, start in wanted if f not in self._noted.get(start, ())]

    def remember(self, noted: Iterable[tuple[str, int]]) -> None:
        """Once they are committed."""
        for facility_id, start in noted:
            self._noted.setdefault(start, set()).add(facility_id)

    def forget(self) -> None:
        """Another server may know less."""
        self._noted.clear()


class Batch(NamedTuple):
    """What comes of one partition of the telemetry log."""

    partition: int
    stream_seq: int
    """The position that it reaches."""
    readings: Sequence[MeterReading]
    notes: QuarterNotes


class Added(NamedTuple):
    """What a batch came to."""

    readings: int
    noted: list[tuple[str, int]]
    """For the QuarterNotes to remember once it is committed."""


def add_batches(conn: Connection, batches: Sequence[Batch], *, at: datetime) -> list[Added]:
    """Add their readings, note the quarter-hours of these, move the positions. The caller holds the partitions' locks.

    What comes late is compared with what is stored, and a repeat of it is not added; of the quarter-hours that are not
    settled yet everything is.
    """
    found, adding = [], []
    for batch in batches:
        readings = _without_late_repeats(conn, batch.readings, at)
        missing: list[tuple[str, int]] = []
        if readings:
            chunks = chunks_of(readings)
            adding.append(chunks)
            missing = batch.notes.missing(_news(chunks.firsts), at)
            if missing:
                note(conn, batch.partition, [_quarter(one) for one in missing])
        found.append(Added(len(readings), missing))
    if adding:
        copy_chunks(conn, adding)
    partitions, seqs = ([batch[n] for batch in batches] for n in (0, 1))
    conn.execute(_MOVE_POSITIONS, {"partitions": partitions, "seqs": seqs, "at": at})
    return found


def _without_late_repeats(
    conn: Connection, readings: Sequence[MeterReading], at: datetime
) -> Sequence[MeterReading]:
    if not has_late(readings, at):
        return readings
    settled_until = _settled_until(at)
    late = [r for r in readings if r.ts < settled_until]
    return [*new_to(conn, late), *(r for r in readings if r.ts >= settled_until)]


def has_late(readings: Sequence[MeterReading], at: datetime) -> bool:
    """Whether one of them may be of a quarter-hour that was settled already."""
    return bool(readings) and min([r.ts for r in readings]) < _settled_until(at)


def _settled_until(at: datetime) -> datetime:
    return at - SETTLED_AFTER + INTERVAL


def _news(firsts: dict[tuple[str, int], int]) -> set[tuple[str, int]]:
    """A quarter-hour's register ends with the first readings after it, and its coverage begins with those before it."""
    news = set()
    for (facility_id, start), first in firsts.items():
        news |= {(facility_id, start), (facility_id, start + INTERVAL_S)}
        if first < start + LOOK_AHEAD_S:
            news.add((facility_id, start - INTERVAL_S))
    return news


def _quarter(place: tuple[str, int]) -> Quarter:
    facility_id, start = place
    return facility_id, moment(start)


def days_of(readings: Sequence[MeterReading]) -> set[datetime]:
    """The UTC days, as midnights, that `readings` fall on."""
    dates = {r.ts.astimezone(UTC).date() for r in readings}
    return {datetime(day.year, day.month, day.day, tzinfo=UTC) for day in dates}


def midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days_between(first: datetime, last: datetime) -> list[datetime]:
    """The UTC midnights from the day of `first` through the day of `last`."""
    start = midnight(first)
    return [start + timedelta(days=n) for n in range((midnight(last) - start).days + 1)]
