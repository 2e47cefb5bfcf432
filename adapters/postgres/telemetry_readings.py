"""Readings into PostgreSQL, and what follows from them: intervals and current values, in the caller's
transaction."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import psycopg

from domain.meter_intervals import (
    INTERVAL,
    INTERVAL_S,
    MeteredInterval,
    MeterPoints,
    expects_meter,
    metered_interval,
    touched_starts,
)
from domain.meter_reading import MeterReading

Connection = psycopg.Connection[Any]

# Per partition: two workers on one partition (a redelivery, a hand-over) would otherwise each compute an
# interval without the other's readings.
_LOCK_CLASS = 0x7E1E

_INCOMING = """
CREATE TEMP TABLE IF NOT EXISTS incoming_readings (
    ts timestamptz, meter_id text, facility_id text, kw float8, kwh_total float8, seq bigint,
    quality text, incomplete boolean, extra text
) ON COMMIT DELETE ROWS
"""
_COPY_IN = "COPY incoming_readings FROM STDIN (FORMAT BINARY)"
_COLUMN_TYPES = ["timestamptz", "text", "text", "float8", "float8", "int8", "text", "bool", "text"]

_ADD = """
WITH added AS (
    INSERT INTO readings (ts, meter_id, facility_id, kw, kwh_total, seq, quality, incomplete, extra)
    SELECT ts, meter_id, facility_id, kw, kwh_total, seq, quality, incomplete, extra::jsonb
    FROM incoming_readings
    ON CONFLICT DO NOTHING
    RETURNING ts, meter_id, facility_id, kw, kwh_total
), newest AS (
    SELECT facility_id, meter_id, min(ts) AS first_at, max(ts) AS newest_at,
        (array_agg(kw ORDER BY ts DESC) FILTER (WHERE kw IS NOT NULL))[1] AS kw,
        max(ts) FILTER (WHERE kw IS NOT NULL) AS kw_at,
        (array_agg(kwh_total ORDER BY ts DESC) FILTER (WHERE kwh_total IS NOT NULL))[1] AS kwh_total,
        max(ts) FILTER (WHERE kwh_total IS NOT NULL) AS kwh_total_at
    FROM added GROUP BY facility_id, meter_id
), current AS (
    INSERT INTO current_values AS c
        (facility_id, meter_id, first_reading_at, newest_reading_at, kw, kw_at, kwh_total, kwh_total_at)
    SELECT facility_id, meter_id, first_at, newest_at, kw, kw_at, kwh_total, kwh_total_at FROM newest
    ON CONFLICT (facility_id, meter_id) DO UPDATE SET
        first_reading_at = least(c.first_reading_at, EXCLUDED.first_reading_at),
        newest_reading_at = greatest(c.newest_reading_at, EXCLUDED.newest_reading_at),
        kw = CASE WHEN c.kw_at IS NULL OR EXCLUDED.kw_at > c.kw_at THEN EXCLUDED.kw ELSE c.kw END,
        kw_at = greatest(c.kw_at, EXCLUDED.kw_at),
        kwh_total = CASE WHEN c.kwh_total_at IS NULL OR EXCLUDED.kwh_total_at > c.kwh_total_at
            THEN EXCLUDED.kwh_total ELSE c.kwh_total END,
        kwh_total_at = greatest(c.kwh_total_at, EXCLUDED.kwh_total_at)
)
SELECT facility_id, date_bin('15 minutes', ts, 'epoch') AS starts_at, count(*)
FROM added GROUP BY 1, 2
"""

_MOVE_POSITION = """
INSERT INTO telemetry_positions AS p (partition, stream_seq, stored_at) VALUES (%s, %s, %s)
ON CONFLICT (partition) DO UPDATE
    SET stream_seq = greatest(p.stream_seq, EXCLUDED.stream_seq), stored_at = EXCLUDED.stored_at
"""

_METERS = """
SELECT facility_id, meter_id, first_reading_at, newest_reading_at
FROM current_values WHERE facility_id = ANY(%s) ORDER BY facility_id, meter_id
"""

# The two constant bounds let the planner skip the partitions of other days.
_POINTS = """
SELECT t.ord, r.meter_id, extract(epoch FROM r.ts - t.starts_at)::float8, r.kw, r.kwh_total
FROM unnest(%(facilities)s::text[], %(starts)s::timestamptz[])
    WITH ORDINALITY AS t (facility_id, starts_at, ord)
JOIN readings r ON r.facility_id = t.facility_id
    AND r.ts >= t.starts_at - interval '15 minutes' AND r.ts < t.starts_at + interval '15 minutes'
WHERE r.ts >= %(low)s AND r.ts < %(high)s
ORDER BY t.ord, r.meter_id, r.ts
"""

_PUT_INTERVALS = """
INSERT INTO interval_readings
    (facility_id, starts_at, step_s, source, mean_kw, kwh, coverage_pct, updated_at)
SELECT facility_id, starts_at, %(step_s)s, 'meter', mean_kw, kwh, coverage_pct, %(at)s
FROM unnest(%(facilities)s::text[], %(starts)s::timestamptz[], %(kw)s::float8[], %(kwh)s::float8[],
    %(coverage)s::real[]) AS n (facility_id, starts_at, mean_kw, kwh, coverage_pct)
ON CONFLICT (facility_id, starts_at, step_s, source) DO UPDATE SET mean_kw = EXCLUDED.mean_kw,
    kwh = EXCLUDED.kwh, coverage_pct = EXCLUDED.coverage_pct, updated_at = EXCLUDED.updated_at
"""

Touched = dict[tuple[str, datetime], None]


def add_readings(
    conn: Connection, partition: int, stream_seq: int, readings: Sequence[MeterReading], *, at: datetime
) -> int:
    """Add what is new, correct what it touches, move the position. The number of new readings."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK_CLASS, partition))
    added, touched = _insert(conn, readings)
    if touched:
        _put_intervals(conn, list(_metered(conn, list(touched))), at)
    conn.execute(_MOVE_POSITION, (partition, stream_seq, at))
    return added


def _insert(conn: Connection, readings: Sequence[MeterReading]) -> tuple[int, Touched]:
    conn.execute(_INCOMING)
    with conn.cursor().copy(_COPY_IN) as copy:
        copy.set_types(_COLUMN_TYPES)
        for r in readings:
            copy.write_row(
                (r.ts, r.meter_id, r.facility_id, r.kw, r.kwh_total, r.seq, r.quality, r.incomplete, r.extra)
            )
    added, touched = 0, Touched()
    for facility_id, starts_at, count in conn.execute(_ADD):
        added += count
        for start in touched_starts(starts_at.astimezone(UTC)):
            touched[facility_id, start] = None
    return added, touched


def _metered(conn: Connection, touched: list[tuple[str, datetime]]) -> Iterable[MeteredInterval]:
    facilities, starts = [f for f, _ in touched], [s for _, s in touched]
    meters = _meters(conn, facilities)
    bounds = {"low": min(starts) - INTERVAL, "high": max(starts) + INTERVAL}
    rows = conn.execute(_POINTS, {"facilities": facilities, "starts": starts, **bounds}).fetchall()
    for ordinal, of_interval in groupby(rows, key=lambda row: row[0]):
        facility_id, starts_at = touched[ordinal - 1]
        points = {
            meter: _points(list(group)) for meter, group in groupby(of_interval, key=lambda row: row[1])
        }
        # No reading inside: only the interval before reaches in, and a gap needs no row.
        if any(p.offset_s[-1] >= 0 for p in points.values()):
            expected = [
                meter
                for meter, first, newest in meters[facility_id]
                if expects_meter(starts_at, first_reading_at=first, newest_reading_at=newest)
            ]
            yield metered_interval(facility_id, starts_at, expected, points)


def _meters(conn: Connection, facilities: list[str]) -> dict[str, list[tuple[str, datetime, datetime]]]:
    found: dict[str, list[tuple[str, datetime, datetime]]] = defaultdict(list)
    for facility_id, meter_id, first, newest in conn.execute(_METERS, (list(set(facilities)),)):
        found[facility_id].append((meter_id, first, newest))
    return found


def _points(rows: list[Any]) -> MeterPoints:
    values = np.array([row[2:] for row in rows], dtype=np.float64)
    return MeterPoints(values[:, 0], values[:, 1], values[:, 2])


def _put_intervals(conn: Connection, intervals: list[MeteredInterval], at: datetime) -> None:
    if intervals:
        columns = {
            "facilities": [i.facility_id for i in intervals],
            "starts": [i.starts_at for i in intervals],
            "kw": [i.mean_kw for i in intervals],
            "kwh": [i.kwh for i in intervals],
            "coverage": [i.coverage_pct for i in intervals],
        }
        conn.execute(_PUT_INTERVALS, {**columns, "step_s": INTERVAL_S, "at": at})


def days_of(readings: Sequence[MeterReading]) -> set[datetime]:
    """The UTC days, as midnights, that `readings` fall on."""
    return {midnight(r.ts) for r in readings}


def midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days_between(first: datetime, last: datetime) -> list[datetime]:
    """The UTC midnights from the day of `first` through the day of `last`."""
    start = midnight(first)
    return [start + timedelta(days=n) for n in range((midnight(last) - start).days + 1)]
