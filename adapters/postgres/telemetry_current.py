"""Current values: what was settled, and over it what has come since.

What has come since is looked for in the last 75 s before a facility's newest reading; where a meter said nothing
there, in all that is not settled.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import psycopg

from application.ports.telemetry_store import CurrentValue, MeterValue
from domain.meter_intervals import INTERVAL, RETIRED_AFTER

Connection = psycopg.Connection[Any]

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

# OFFSET 0: each facility's few rows by the index, and never a join with all the days there are. The constant bounds
# spare the planner those days' partitions.
_USABLE = "AND r.quality NOT IN ('bad', 'missing')"
_MERGED = f"""
, news AS (
    SELECT r.facility_id, r.meter_id, max(r.ts) AS newest_at,
        (array_agg(r.kw ORDER BY r.ts DESC) FILTER (WHERE r.kw IS NOT NULL {_USABLE}))[1] AS kw,
        max(r.ts) FILTER (WHERE r.kw IS NOT NULL {_USABLE}) AS kw_at,
        (array_agg(r.kwh_total ORDER BY r.ts DESC) FILTER (WHERE r.kwh_total IS NOT NULL {_USABLE}))[1] AS kwh_total,
        max(r.ts) FILTER (WHERE r.kwh_total IS NOT NULL {_USABLE}) AS kwh_total_at
    FROM since s, LATERAL (
        SELECT * FROM readings WHERE facility_id = s.facility_id AND ts >= s.starts_at AND ts < s.ends_at
            AND ts >= %(low)s AND ts < %(high)s OFFSET 0
    ) r
    GROUP BY 1, 2
), known AS (
    SELECT * FROM current_values WHERE facility_id = ANY(%(facilities)s)
)
SELECT coalesce(n.facility_id, c.facility_id), coalesce(n.meter_id, c.meter_id),
    CASE WHEN c.kw_at IS NULL OR n.kw_at >= c.kw_at THEN n.kw ELSE c.kw END, greatest(n.kw_at, c.kw_at),
    CASE WHEN c.kwh_total_at IS NULL OR n.kwh_total_at >= c.kwh_total_at THEN n.kwh_total ELSE c.kwh_total END,
    greatest(n.newest_at, c.newest_reading_at),
    (n.kw_at IS NULL AND (c.kw_at IS NOT NULL OR c.facility_id IS NULL))
        OR (n.kwh_total_at IS NULL AND (c.kwh_total_at IS NOT NULL OR c.facility_id IS NULL)) AS is_partial,
    c.facility_id IS NOT NULL AS is_known
FROM news n FULL JOIN known c ON c.facility_id = n.facility_id AND c.meter_id = n.meter_id
ORDER BY 1, 2
"""  # noqa: S608 - our own column names

_LATEST = f"""
WITH since AS (
    SELECT f.facility_id, r.ts - interval '75 seconds' AS starts_at, r.ts + interval '1 second' AS ends_at
    FROM unnest(%(facilities)s::text[]) f (facility_id), LATERAL (
        SELECT ts FROM readings r WHERE r.facility_id = f.facility_id AND r.ts >= %(low)s AND r.ts < %(high)s
            AND r.ts >= (SELECT min(starts_at) FROM unsettled_quarters u WHERE u.facility_id = f.facility_id)
        ORDER BY ts DESC LIMIT 1
    ) r
){_MERGED}
"""  # noqa: S608 - our own column names

_ALL_UNSETTLED = f"""
WITH since AS (
    SELECT facility_id, starts_at, starts_at + interval '15 minutes' AS ends_at
    FROM unsettled_quarters WHERE facility_id = ANY(%(facilities)s)
){_MERGED}
"""  # noqa: S608 - our own column names


_BOUNDS = "SELECT min(starts_at), max(starts_at) FROM unsettled_quarters WHERE facility_id = ANY(%s)"


def current_values(conn: Connection, facility_ids: Sequence[str]) -> dict[str, CurrentValue]:
    """Of those that have any reading."""
    low, last = conn.execute(_BOUNDS, (list(facility_ids),)).fetchone() or (None, None)
    bounds = {"low": low or _NEVER, "high": _NEVER if last is None else last + INTERVAL}
    found = _by_facility(conn, _LATEST, facility_ids, bounds)
    unclear = [f for f in facility_ids if f not in found or _is_unclear(found[f])]
    if unclear:
        found |= _by_facility(conn, _ALL_UNSETTLED, unclear, bounds)
    return {
        facility: CurrentValue.of(facility, [_meter_value(row) for row in rows])
        for facility, rows in found.items()
    }


def _by_facility(
    conn: Connection, sql: str, facility_ids: Sequence[str], bounds: Mapping[str, datetime]
) -> dict[str, list[Any]]:
    rows = conn.execute(sql.encode(), {"facilities": list(facility_ids), **bounds}).fetchall()
    return {facility: list(group) for facility, group in groupby(rows, key=lambda row: row[0])}


def _is_unclear(rows: Sequence[Any]) -> bool:
    """Whether a meter that still counts may have said more than what was looked at; a facility that was never settled
    may have further meters."""
    newest: datetime = max(row[5] for row in rows)
    return not any(row[7] for row in rows) or any(row[6] and row[5] >= newest - RETIRED_AFTER for row in rows)


def _meter_value(row: Any) -> MeterValue:
    _, meter_id, kw, kw_at, kwh_total, newest, _, _ = row
    return MeterValue(
        meter_id=meter_id,
        kw=kw,
        measured_at=kw_at.astimezone(UTC) if kw_at else None,
        kwh_total=kwh_total,
        newest_reading_at=newest.astimezone(UTC),
    )
