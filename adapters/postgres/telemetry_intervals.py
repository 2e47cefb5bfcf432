"""Intervals in and out of PostgreSQL in columns: as binary COPY rows that numpy makes, and as arrays it reads.

A row of binary COPY is a field count and, per field, its length and big-endian value; without NULLs and
variable-width types every row has the same shape, so 200,000 of them are one array. NaN stands for NULL.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from application.ports.telemetry_store import ImportedIntervals, ImportOutcome, ReadingsRefused
from domain.interval_block import LONGEST_STEP_S, StoredIntervals
from domain.time_windows import TimeWindow

Connection = psycopg.Connection[Any]

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH_S = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())

_INCOMING = """
CREATE TEMP TABLE IF NOT EXISTS incoming_intervals (
    facility int4, starts_at timestamptz, step_s int4, mean_kw float8, temp_c float8
) ON COMMIT DELETE ROWS
"""
_IN_FIELDS = [
    ("facility", ">i4"),
    ("starts_at", ">i8"),
    ("step_s", ">i4"),
    ("mean_kw", ">f8"),
    ("temp_c", ">f8"),
]

_IMPORT = """
WITH done AS (
    INSERT INTO interval_readings AS i
        (facility_id, starts_at, step_s, source, mean_kw, kwh, coverage_pct, temp_c, updated_at)
    SELECT f.facility_id, n.starts_at, n.step_s, 'import', nullif(n.mean_kw, 'NaN'),
        nullif(n.mean_kw, 'NaN') * n.step_s / 3600, CASE WHEN n.mean_kw = 'NaN' THEN 0 ELSE 100 END,
        nullif(n.temp_c, 'NaN')::real, %(at)s
    FROM incoming_intervals n
    JOIN unnest(%(facilities)s::text[]) WITH ORDINALITY AS f (facility_id, ord) ON f.ord = n.facility + 1
    ORDER BY f.facility_id, n.starts_at
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

# One row a facility, its columns as arrays: taking 200,000 rows one by one costs ten times as much.
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
_ARRAY_HEADER_BYTES = 20


def _row_type(fields: Sequence[tuple[str, str]]) -> np.dtype[Any]:
    parts: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in fields:
        parts += [(f"{name}_length", ">i4"), (name, kind)]
    return np.dtype(parts)


_IN_ROW = _row_type(_IN_FIELDS)


def put_imported(conn: Connection, intervals: ImportedIntervals, *, at: datetime) -> ImportOutcome:
    """Upsert history in the caller's transaction. Raises ReadingsRefused."""
    _check(intervals)
    conn.execute(_INCOMING)
    with conn.cursor().copy("COPY incoming_intervals FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_SIGNATURE + _rows(intervals).tobytes() + _TRAILER)
    row = conn.execute(_IMPORT, {"facilities": list(intervals.facility_ids), "at": at}).fetchone()
    added, changed = row if row is not None else (0, 0)
    return ImportOutcome(added=added, changed=changed, unchanged=len(intervals) - added - changed)


def _check(intervals: ImportedIntervals) -> None:
    if len(intervals) and not 1 <= intervals.step_s.min() <= intervals.step_s.max() <= LONGEST_STEP_S:
        raise ReadingsRefused(f"step_s must be 1 .. {LONGEST_STEP_S}")
    if np.isinf(intervals.mean_kw).any() or np.isinf(intervals.temp_c).any():
        raise ReadingsRefused("a mean or a temperature is infinite")


def _rows(intervals: ImportedIntervals) -> NDArray[Any]:
    rows = np.empty(len(intervals), dtype=_IN_ROW)
    rows["fields"] = len(_IN_FIELDS)
    values: dict[str, NDArray[Any]] = {
        "facility": intervals.facility_index,
        "starts_at": (intervals.starts_at_s - _POSTGRES_EPOCH_S) * 1_000_000,
        "step_s": intervals.step_s,
        "mean_kw": intervals.mean_kw,
        "temp_c": intervals.temp_c,
    }
    for name, kind in _IN_FIELDS:
        rows[f"{name}_length"] = np.dtype(kind).itemsize
        rows[name] = values[name]
    return rows


def stored_intervals(conn: Connection, facility_ids: Sequence[str], window: TimeWindow) -> StoredIntervals:
    """Every stored interval that overlaps `window`, of these facilities, in one round trip."""
    bounds = {"starts_at": window.starts_at, "ends_at": window.ends_at, "longest_s": LONGEST_STEP_S}
    with conn.cursor(binary=True) as cursor:
        rows = cursor.execute(_EXPORT, {"facilities": list(facility_ids), **bounds}).fetchall()
    columns = [
        np.concatenate([np.empty(0, dtype=kind), *(_column(row[n + 1], kind) for row in rows)])
        for n, kind in enumerate(_OUT_TYPES)
    ]
    starts_at, step_s, mean_kw, temp_c, coverage_pct, metered = columns
    counts = [len(_column(row[1], _OUT_TYPES[0])) for row in rows]
    offset_s = starts_at.astype(np.int64) // 1_000_000 + _POSTGRES_EPOCH_S - int(window.starts_at.timestamp())
    return StoredIntervals(
        np.repeat(np.array([row[0] for row in rows], dtype=np.int64), counts),
        offset_s,
        step_s.astype(np.int64),
        mean_kw.astype(np.float64),
        temp_c.astype(np.float64),
        coverage_pct.astype(np.float64),
        metered.astype(np.bool_),
    )


def _column(sent: bytes, kind: str) -> NDArray[Any]:
    """A one-dimensional array without NULLs as `array_send` writes it: per element its length and value."""
    element = np.dtype([("length", ">i4"), ("value", kind)])
    return np.frombuffer(sent, dtype=element, offset=_ARRAY_HEADER_BYTES)["value"]
