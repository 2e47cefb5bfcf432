"""Import and export of intervals in columns: binary arrays made and read with numpy."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import psycopg

from adapters.postgres.telemetry.import_layers import put_layer
from adapters.postgres.telemetry.rollups.compute import ComputedQuarters, compute_dirty
from adapters.postgres.wire_format.array_parameters import (
    ArrayParam,
    doubles,
    integers,
    texts,
    timestamps_param,
)
from adapters.postgres.wire_format.copy_format import received, received_lengths, timestamps
from application.ports.telemetry.store import ImportedIntervals, ImportOutcome, ReadingsRefused
from domain.telemetry.intervals import INTERVAL, INTERVAL_S
from domain.time_series.interval_block import LONGEST_STEP_S, StoredIntervals
from domain.time_series.windows import TimeWindow

Connection = psycopg.Connection[Any]

_IMPORT = """
WITH done AS (
    INSERT INTO interval_readings AS i
        (facility_id, starts_at, step_s, source, mean_kw, kwh, coverage_pct, temp_c, updated_at)
    SELECT facility_id, starts_at, step_s, 'import', nullif(mean_kw, 'NaN'),
        nullif(mean_kw, 'NaN') * step_s / 3600, CASE WHEN mean_kw = 'NaN' THEN 0 ELSE 100 END,
        nullif(temp_c, 'NaN')::real, %(at)s
    FROM unnest(%(facility_id)s::text[], %(starts_at)s::timestamptz[], %(step_s)s::int4[], %(mean_kw)s::float8[],
        %(temp_c)s::float8[]) AS n (facility_id, starts_at, step_s, mean_kw, temp_c)
    ORDER BY facility_id, starts_at
    ON CONFLICT (facility_id, starts_at, step_s, source) DO UPDATE SET
        mean_kw = coalesce(EXCLUDED.mean_kw, i.mean_kw), kwh = coalesce(EXCLUDED.kwh, i.kwh),
        coverage_pct = greatest(EXCLUDED.coverage_pct, i.coverage_pct),
        temp_c = coalesce(EXCLUDED.temp_c, i.temp_c), updated_at = EXCLUDED.updated_at
        WHERE (coalesce(EXCLUDED.mean_kw, i.mean_kw), coalesce(EXCLUDED.temp_c, i.temp_c))
            IS DISTINCT FROM (i.mean_kw, i.temp_c)
    RETURNING xmax = 0 AS added
)
SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added) FROM done
"""

# One row per facility with array columns: fetching 200,000 single rows takes ten times as long.
_EXPORT = """
SELECT f.ord - 1, array_send(array_agg(i.starts_at)), array_send(array_agg(i.step_s)),
    array_send(array_agg(coalesce(i.mean_kw, 'NaN'))), array_send(array_agg(coalesce(i.temp_c, 'NaN'))),
    array_send(array_agg(i.coverage_pct)), array_send(array_agg((i.source = 'meter')::int4))
FROM unnest(%(facilities)s::text[]) WITH ORDINALITY AS f (facility_id, ord)
JOIN interval_readings i ON i.facility_id = f.facility_id
WHERE i.starts_at > %(starts_at)s - %(longest_s)s * interval '1 second' AND i.starts_at < %(ends_at)s
GROUP BY f.ord
"""
_OUT_TYPES = (">i8", ">i4", ">f8", ">f4", ">f4", ">i4")
_FAR_S = 1 << 40
"""Larger than any offset."""


def put_imported(
    conn: Connection, intervals: ImportedIntervals, import_id: UUID | None, *, at: datetime
) -> ImportOutcome:
    """Upsert history in the caller's transaction, as a layer of its import, if it has one. Raises ReadingsRefused."""
    _check(intervals)
    rows = _rows(intervals)
    if import_id is not None:
        put_layer(conn, import_id, rows)
    row = conn.execute(_IMPORT, {**rows, "at": at}).fetchone()
    added, changed = row if row is not None else (0, 0)
    return ImportOutcome(added=added, changed=changed, unchanged=len(intervals) - added - changed)


def _check(intervals: ImportedIntervals) -> None:
    if len(intervals) and not 1 <= intervals.step_s.min() <= intervals.step_s.max() <= LONGEST_STEP_S:
        raise ReadingsRefused(f"step_s must be 1 .. {LONGEST_STEP_S}")
    if np.isinf(intervals.mean_kw).any() or np.isinf(intervals.temp_c).any():
        raise ReadingsRefused("a mean or a temperature is infinite")


def _rows(intervals: ImportedIntervals) -> dict[str, ArrayParam]:
    return {
        "facility_id": texts([intervals.facility_ids[n] for n in intervals.facility_index.tolist()]),
        "starts_at": timestamps_param(timestamps(intervals.starts_at_s)),
        "step_s": integers(intervals.step_s),
        "mean_kw": doubles(intervals.mean_kw),
        "temp_c": doubles(intervals.temp_c),
    }


def stored_intervals(conn: Connection, facility_ids: Sequence[str], window: TimeWindow) -> StoredIntervals:
    """All intervals of these facilities that overlap `window`: as stored, or as recomputed if they are dirty."""
    computed = compute_dirty(conn, facility_ids, window.starts_at - INTERVAL, window.ends_at)
    bounds = {"starts_at": window.starts_at, "ends_at": window.ends_at, "longest_s": LONGEST_STEP_S}
    with conn.cursor(binary=True) as cursor:
        rows = cursor.execute(_EXPORT, {"facilities": list(facility_ids), **bounds}).fetchall()
    starts_at, step_s, mean_kw, temp_c, coverage_pct, metered = (
        received([row[n + 1] for row in rows], kind) for n, kind in enumerate(_OUT_TYPES)
    )
    start_us = int(timestamps(np.array([window.starts_at.timestamp()]))[0])
    counts = received_lengths([row[1] for row in rows], _OUT_TYPES[0])
    stored = StoredIntervals(
        np.repeat(np.array([row[0] for row in rows], dtype=np.int64), counts),
        (starts_at - start_us) // 1_000_000,
        step_s.astype(np.int64),
        mean_kw,
        temp_c.astype(np.float64),
        coverage_pct.astype(np.float64),
        metered.astype(np.bool_),
    )
    return stored if computed is None else _with_computed(stored, computed, facility_ids, window)


def _with_computed(
    stored: StoredIntervals, computed: ComputedQuarters, facility_ids: Sequence[str], window: TimeWindow
) -> StoredIntervals:
    seen = np.flatnonzero(computed.rows_seen).tolist()
    number = {facility_id: n for n, facility_id in enumerate(facility_ids)}
    index = np.array([number[computed.quarters[n][0]] for n in seen], dtype=np.int64)
    starts = [computed.quarters[n][1] - window.starts_at for n in seen]
    offset_s = np.array([start.total_seconds() for start in starts], dtype=np.int64)
    key = index * _FAR_S + offset_s
    outdated = stored.metered & np.isin(stored.facility_index * _FAR_S + stored.offset_s, key)
    remaining = [getattr(stored, name)[~outdated] for name in stored.__struct_fields__]
    added = (
        index,
        offset_s,
        np.full(len(seen), INTERVAL_S),
        computed.whole.mean_kw[seen, 0],
        np.full(len(seen), np.nan),
        computed.whole.coverage_pct[seen, 0],
        np.ones(len(seen), dtype=np.bool_),
    )
    return StoredIntervals(*(np.concatenate(pair) for pair in zip(remaining, added, strict=True)))
