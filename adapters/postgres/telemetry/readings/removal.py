"""Removal of the readings of one meter from chunks, in the caller's transaction, which holds the partition's lock.

Rollups are computed again from what remains: their number of readings is lowered first, since finalization takes fewer
readings than before for readings that retention has deleted, and leaves such a rollup as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from adapters.postgres.telemetry.dirty_intervals import mark_dirty, record_corrections
from adapters.postgres.telemetry.readings.chunk_encoder import chunks_of, copy_chunks
from adapters.postgres.telemetry.readings.chunk_query import ChunkRange, readings_in
from adapters.postgres.telemetry.readings.deduplication import delete_chunks, stored_as_readings
from application.ports.telemetry.progress import Correction
from domain.telemetry.intervals import INTERVAL
from domain.telemetry.meter_reading import partition_of
from domain.telemetry.reading_block import ReadingBlock

Connection = psycopg.Connection[Any]

# An index lookup for each quarter-hour; the bounds let the planner skip the partitions of other days.
_QUARTERS = """
SELECT q FROM generate_series(%(low)s::timestamptz, %(high)s::timestamptz - interval '15 minutes', '15 minutes') AS q
WHERE EXISTS (
    SELECT 1 FROM reading_chunks c WHERE c.quarter = q AND c.facility_id = %(facility)s AND %(meter)s = ANY(c.meter_ids)
        AND c.quarter >= %(low)s AND c.quarter < %(high)s
)
ORDER BY q
"""
_LOWER_COUNTS = """
UPDATE rollups r SET rows_seen = greatest(0, r.rows_seen - t.removed)
FROM unnest(%s::timestamptz[], %s::int[]) AS t (starts_at, removed)
WHERE r.facility_id = %s AND r.step_s = 900 AND r.starts_at = t.starts_at
"""
_EMPTIED = """
DELETE FROM rollups WHERE facility_id = %s AND step_s = 900 AND starts_at = ANY(%s)
RETURNING starts_at, mean_kw, kwh
"""
_EMPTIED_PARTS = """
DELETE FROM rollups r USING unnest(%s::timestamptz[]) AS t (starts_at)
WHERE r.facility_id = %s AND (
    (r.step_s = 60 AND r.starts_at >= t.starts_at AND r.starts_at < t.starts_at + interval '15 minutes')
    OR (r.step_s = 3600 AND r.starts_at = date_trunc('hour', t.starts_at, 'UTC'))
)
"""
_EMPTIED_INTERVALS = """
DELETE FROM interval_readings
WHERE facility_id = %s AND source = 'meter' AND step_s = 900 AND starts_at = ANY(%s)
"""
_FORGET_PRESENCE = """
DELETE FROM meter_days WHERE facility_id = %s AND meter_id = %s AND day >= (%s AT TIME ZONE 'UTC')::date
RETURNING day
"""
_FORGET_VALUE = "DELETE FROM current_values WHERE facility_id = %s AND meter_id = %s"
# A meter is expected in the quarter-hours of a day after each reading.
_MARK_EXPECTING = """
INSERT INTO unsettled_quarters (partition, facility_id, starts_at)
SELECT %(partition)s::smallint, facility_id, starts_at FROM rollups
WHERE facility_id = %(facility)s AND step_s = 900 AND starts_at >= %(low)s AND starts_at < %(high)s
ON CONFLICT DO NOTHING
"""


def meter_quarters(
    conn: Connection, facility_id: str, meter_id: str, low: datetime, high: datetime
) -> list[datetime]:
    """The quarter-hours of a UTC day whose chunks have readings of the meter."""
    params = {"facility": facility_id, "meter": meter_id, "low": low, "high": high}
    return [start.astimezone(UTC) for (start,) in conn.execute(_QUARTERS, params)]


def remove_readings(
    conn: Connection, facility_id: str, meter_id: str, quarters: Sequence[datetime], *, at: datetime
) -> int:
    """Rewrite the chunks of the quarter-hours without the meter; returns the number of moments removed."""
    spans = [ChunkRange(n, facility_id, start, start, start + INTERVAL) for n, start in enumerate(quarters)]
    stored = readings_in(conn, spans, ReadingBlock.of([]))
    is_mine = np.array([name == meter_id for _, name in stored.meters], dtype=np.bool_)
    owner = np.array([number for number, _ in stored.meters], dtype=np.int64)[stored.columns.meter]
    mine = is_mine[stored.columns.meter]
    removed = np.bincount(owner[mine], minlength=len(quarters)).tolist()
    remain = np.bincount(owner[~mine], minlength=len(quarters))
    delete_chunks(conn, [(facility_id, start) for start in quarters])
    everything = stored_as_readings(stored, [facility_id] * len(quarters))
    others = [reading for reading in everything if reading.meter_id != meter_id]
    if others:
        copy_chunks(conn, [chunks_of(ReadingBlock.of(others))])
    conn.execute(_LOWER_COUNTS, (list(quarters), removed, facility_id))
    emptied = [start for start, count in zip(quarters, remain.tolist(), strict=True) if not count]
    if emptied:
        _drop_rollups(conn, facility_id, emptied, at)
    left = set(quarters) - set(emptied)
    if left:
        dirty = {int(start.timestamp()): {facility_id} for start in left}
        mark_dirty(conn, [(partition_of(facility_id), dirty)])
    return int(sum(removed))


def _drop_rollups(conn: Connection, facility_id: str, emptied: list[datetime], at: datetime) -> None:
    """Drop the rollups of quarter-hours without any reading left; their hours are computed again with the other
    quarter-hours."""
    rows = conn.execute(_EMPTIED, (facility_id, emptied)).fetchall()
    conn.execute(_EMPTIED_PARTS, (emptied, facility_id))
    conn.execute(_EMPTIED_INTERVALS, (facility_id, emptied))
    corrections = [
        Correction(
            facility_id=facility_id,
            starts_at=start.astimezone(UTC),
            old_mean_kw=mean_kw,
            new_mean_kw=None,
            old_kwh=kwh,
            new_kwh=None,
        )
        for start, mean_kw, kwh in sorted(rows)
    ]
    record_corrections(conn, corrections, at=at)


def forget_presence(conn: Connection, facility_id: str, meter_id: str, *, since: datetime) -> None:
    """Remove the meter's presence and current value, and mark the quarter-hours that expected it."""
    days = [day for (day,) in conn.execute(_FORGET_PRESENCE, (facility_id, meter_id, since))]
    conn.execute(_FORGET_VALUE, (facility_id, meter_id))
    if days:
        low = datetime(min(days).year, min(days).month, min(days).day, tzinfo=UTC)
        high = datetime(max(days).year, max(days).month, max(days).day, tzinfo=UTC) + timedelta(days=2)
        params = {"partition": partition_of(facility_id), "facility": facility_id, "low": low, "high": high}
        conn.execute(_MARK_EXPECTING, params)
