"""Storage of finalized rollups and of the corrections that they cause, in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from adapters.postgres.telemetry.dirty_intervals import columns, record_corrections
from adapters.postgres.telemetry.rollups.compute import ComputedQuarters, chosen
from adapters.postgres.wire_format.array_parameters import (
    ArrayParam,
    doubles,
    integers,
    texts,
    timestamps_param,
)
from adapters.postgres.wire_format.copy_format import timestamps
from application.ports.telemetry.progress import Correction, Quarter
from domain.telemetry.facility_rollups import LATE_AFTER, RollupColumns
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.minute_ranges import MINUTE_S

Connection = psycopg.Connection[Any]

_OLD = """
SELECT t.ord - 1, r.mean_kw, r.kwh, r.rows_seen FROM unnest(%s::text[], %s::timestamptz[])
    WITH ORDINALITY t (facility_id, starts_at, ord)
JOIN rollups r ON (r.facility_id, r.step_s, r.starts_at) = (t.facility_id, 900, t.starts_at)
"""

_DELETE_MINUTES = """
DELETE FROM rollups r USING unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
WHERE r.facility_id = t.facility_id AND r.step_s = 60
    AND r.starts_at >= t.starts_at AND r.starts_at < t.starts_at + interval '900 s'
"""

_UPSERT = """
WITH kept AS (
    INSERT INTO rollups (facility_id, step_s, starts_at, mean_kw, kwh, min_kw, max_kw, coverage_pct, readings,
        replaced, rows_seen, settled_at)
    SELECT facility_id, step_s, starts_at, nullif(mean_kw, 'NaN'), nullif(kwh, 'NaN'), nullif(min_kw, 'NaN'),
        nullif(max_kw, 'NaN'), coverage_pct, readings, replaced, rows_seen, %(at)s
    FROM unnest(%(facility_id)s::text[], %(step_s)s::int4[], %(starts_at)s::timestamptz[], %(mean_kw)s::float8[],
        %(kwh)s::float8[], %(min_kw)s::float8[], %(max_kw)s::float8[], %(coverage_pct)s::float8[],
        %(readings)s::int4[], %(replaced)s::int4[], %(rows_seen)s::int4[])
        AS n (facility_id, step_s, starts_at, mean_kw, kwh, min_kw, max_kw, coverage_pct, readings, replaced, rows_seen)
    ON CONFLICT (facility_id, step_s, starts_at) DO UPDATE SET mean_kw = EXCLUDED.mean_kw, kwh = EXCLUDED.kwh,
        min_kw = EXCLUDED.min_kw, max_kw = EXCLUDED.max_kw, coverage_pct = EXCLUDED.coverage_pct,
        readings = EXCLUDED.readings, replaced = EXCLUDED.replaced, rows_seen = EXCLUDED.rows_seen,
        settled_at = EXCLUDED.settled_at
    RETURNING facility_id, step_s, starts_at, mean_kw, kwh, coverage_pct
)
INSERT INTO interval_readings
    (facility_id, starts_at, step_s, source, mean_kw, kwh, coverage_pct, updated_at)
SELECT facility_id, starts_at, step_s, 'meter', mean_kw, kwh, coverage_pct, %(at)s FROM kept WHERE step_s = 900
ON CONFLICT (facility_id, starts_at, step_s, source) DO UPDATE SET mean_kw = EXCLUDED.mean_kw,
    kwh = EXCLUDED.kwh, coverage_pct = EXCLUDED.coverage_pct, updated_at = EXCLUDED.updated_at
"""

# An hour is complete only with all four quarters; a quarter without a row is a gap.
_HOURS = """
INSERT INTO rollups (facility_id, step_s, starts_at, mean_kw, kwh, min_kw, max_kw, coverage_pct, readings, replaced,
    rows_seen, settled_at)
SELECT h.facility_id, 3600, h.starts_at, CASE WHEN count(mean_kw) = 4 THEN avg(mean_kw ORDER BY r.starts_at) END,
    CASE WHEN count(kwh) = 4 THEN sum(kwh ORDER BY r.starts_at) END, CASE WHEN count(min_kw) = 4 THEN min(min_kw) END,
    CASE WHEN count(max_kw) = 4 THEN max(max_kw) END,
    round((sum(coverage_pct::float8 ORDER BY r.starts_at) / 4)::numeric, 3), sum(readings), sum(replaced),
    sum(rows_seen), %s
FROM (
    SELECT DISTINCT facility_id, date_trunc('hour', starts_at, 'UTC') AS starts_at
    FROM unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
) h JOIN rollups r ON r.facility_id = h.facility_id AND r.step_s = 900
    AND r.starts_at >= h.starts_at AND r.starts_at < h.starts_at + interval '1 hour'
GROUP BY h.facility_id, h.starts_at
ON CONFLICT (facility_id, step_s, starts_at) DO UPDATE SET mean_kw = EXCLUDED.mean_kw, kwh = EXCLUDED.kwh,
    min_kw = EXCLUDED.min_kw, max_kw = EXCLUDED.max_kw, coverage_pct = EXCLUDED.coverage_pct,
    readings = EXCLUDED.readings, replaced = EXCLUDED.replaced, rows_seen = EXCLUDED.rows_seen,
    settled_at = EXCLUDED.settled_at
"""

Old = dict[int, tuple[float | None, float | None, int]]
"""Index of a quarter-hour -> mean kW, kWh, and the number of readings that they were computed from."""


def existing_rollups(conn: Connection, quarters: Sequence[Quarter]) -> Old:
    """The rollups that `quarters` have already."""
    return {row[0]: row[1:] for row in conn.execute(_OLD, columns(quarters))}


def write_rollups(conn: Connection, computed: ComputedQuarters, old: Old, at: datetime) -> int:
    """Write rollups, except where readings have been deleted since. Returns how many quarter-hours were
    corrected."""
    seen = np.array([max(old[n][2], 1) if n in old else 1 for n in range(len(computed.quarters))])
    written = np.flatnonzero(computed.rows_seen >= seen)
    if not len(written):
        return 0
    finalized = [computed.quarters[int(n)] for n in written]
    facilities, starts = columns(finalized)
    before = [int(n) for n in written if n in old]
    if before:
        conn.execute(_DELETE_MINUTES, columns([computed.quarters[n] for n in before]))
    conn.execute(_UPSERT, {**_rows(computed, written, finalized), "at": at})
    conn.execute(_HOURS, (at, facilities, starts))
    return _publish(conn, computed, written, old, at)


def _rows(
    computed: ComputedQuarters, written: NDArray[np.int64], finalized: Sequence[Quarter]
) -> dict[str, ArrayParam]:
    """The columns of the minutes and of the quarter-hours. They are parameters and not a temporary table, which would
    keep a server that is cut off from its standby from stopping."""
    start_s = np.array([start.timestamp() for _, start in finalized])
    minutes, whole = chosen(computed.minutes, written), chosen(computed.whole, written)
    where, minute = np.nonzero((minutes.readings > 0) | (minutes.coverage_pct > 0))
    number = np.concatenate([where, np.arange(len(written))])
    step_s = np.repeat([MINUTE_S, INTERVAL_S], [len(where), len(written)])
    rows = {
        "facility_id": texts([finalized[n][0] for n in number.tolist()]),
        "step_s": integers(step_s),
        "starts_at": timestamps_param(
            timestamps(np.concatenate([start_s[where] + minute * MINUTE_S, start_s]))
        ),
        "rows_seen": integers(computed.rows_seen[written][number]),
    }
    for name in RollupColumns.__struct_fields__:
        values = np.concatenate([getattr(minutes, name)[where, minute], getattr(whole, name)[:, 0]])
        rows[name] = integers(values) if name in ("readings", "replaced") else doubles(values)
    return rows


def _publish(
    conn: Connection, computed: ComputedQuarters, written: NDArray[np.int64], old: Old, at: datetime
) -> int:
    corrections = []
    for n in written.tolist():
        facility_id, start = computed.quarters[n]
        mean, kwh = (_none_if_nan(column[n, 0]) for column in (computed.whole.mean_kw, computed.whole.kwh))
        if n in old and old[n][:2] == (mean, kwh):
            continue
        if n in old or start < at - LATE_AFTER:
            old_mean, old_kwh, _ = old.get(n, (None, None, 0))
            corrections.append(
                Correction(
                    facility_id=facility_id,
                    starts_at=start,
                    old_mean_kw=old_mean,
                    new_mean_kw=mean,
                    old_kwh=old_kwh,
                    new_kwh=kwh,
                )
            )
    record_corrections(conn, corrections, at=at)
    return len(corrections)


def _none_if_nan(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
