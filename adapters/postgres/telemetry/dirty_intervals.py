"""Dirty intervals: quarter-hours with readings since they were finalized, and the corrections that
finalization records. All functions run in the caller's transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg

from adapters.postgres.wire_format.array_parameters import (
    ArrayParam,
    moments,
    smallints,
    texts,
    timestamps_param,
)
from adapters.postgres.wire_format.copy_format import timestamps
from application.ports.telemetry.progress import Correction, Quarter

Connection = psycopg.Connection[Any]
DirtyIntervals = dict[int, set[str]]
"""Start of a quarter-hour in Unix seconds -> facilities with new readings in it."""

_MARK = """
INSERT INTO unsettled_quarters (partition, facility_id, starts_at)
SELECT * FROM unnest(%s::smallint[], %s::text[], %s::timestamptz[]) ON CONFLICT DO NOTHING
"""
_DUE = """
SELECT facility_id, starts_at FROM unsettled_quarters
WHERE partition = %s AND starts_at <= %s ORDER BY starts_at, facility_id LIMIT %s
"""
_DIRTY = """
SELECT facility_id, starts_at FROM unsettled_quarters
WHERE facility_id = ANY(%s) AND starts_at >= %s AND starts_at < %s ORDER BY 2, 1
"""
_CLEAR = """
DELETE FROM unsettled_quarters u USING unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
WHERE (u.facility_id, u.starts_at) = (t.facility_id, t.starts_at)
"""
_CORRECTIONS = """
INSERT INTO telemetry_corrections
    (facility_id, starts_at, old_mean_kw, new_mean_kw, old_kwh, new_kwh, corrected_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_ORDERED_CORRECTIONS = 0x7E1F


def mark_dirty(conn: Connection, dirty: Sequence[tuple[int, DirtyIntervals]]) -> None:
    """Mark quarter-hours of each partition as dirty."""
    runs = [
        (partition, start, facility_ids)
        for partition, intervals in dirty
        for start, facility_ids in intervals.items()
    ]
    counts = [len(facility_ids) for _, _, facility_ids in runs]
    conn.execute(
        _MARK,
        (
            smallints(np.repeat([partition for partition, _, _ in runs], counts)),
            texts([facility_id for _, _, facility_ids in runs for facility_id in facility_ids]),
            timestamps_param(timestamps(np.repeat([start for _, start, _ in runs], counts))),
        ),
    )


def due(conn: Connection, partition: int, started_before: datetime, *, limit: int) -> list[Quarter]:
    """The dirty intervals of the partition that started then or before, oldest first."""
    return _quarters(conn.execute(_DUE, (partition, started_before, limit)))


def dirty_between(
    conn: Connection, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
) -> list[Quarter]:
    """The dirty intervals of the facilities that start in a time range."""
    return _quarters(conn.execute(_DIRTY, (list(facility_ids), starts_from, ends_at)))


def clear(conn: Connection, quarters: Sequence[Quarter]) -> None:
    """Remove the marks of finalized quarter-hours."""
    conn.execute(_CLEAR, columns(quarters))


def record_corrections(conn: Connection, corrections: Sequence[Correction], *, at: datetime) -> None:
    """Record corrections for users of the previous values."""
    if not corrections:
        return
    # Held until the commit, so that correction numbers become visible in order.
    conn.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_ORDERED_CORRECTIONS,))
    rows = [
        (c.facility_id, c.starts_at, c.old_mean_kw, c.new_mean_kw, c.old_kwh, c.new_kwh, at)
        for c in corrections
    ]
    with conn.cursor() as cursor:
        cursor.executemany(_CORRECTIONS, rows)


def columns(quarters: Sequence[Quarter]) -> tuple[ArrayParam, ArrayParam]:
    """Facilities and starts as parameters."""
    return texts([facility for facility, _ in quarters]), moments([start for _, start in quarters])


def _quarters(cursor: psycopg.Cursor[Any]) -> list[Quarter]:
    return [(facility, start.astimezone(UTC)) for facility, start in cursor.fetchall()]
