"""Deletion of old telemetry in PostgreSQL: partitions of readings are dropped, intervals are deleted in small
batches."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.telemetry.store import TelemetryStoreUnavailable

_DAYS = """
SELECT to_date(substr(c.relname, 16), 'YYYYMMDD') AS day
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'reading_chunks'::regclass AND c.relname ~ '^reading_chunks_[0-9]{8}$' ORDER BY day
"""
_DELETE = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} WHERE {is_old} LIMIT %(limit)s
))
"""
# Facility by facility, from its oldest row on, so that only rows that are deleted are read, however large the
# table. A BRIN index becomes useless once old pages are filled with new rows (ADR 0024).
DELETE_ROLLUPS = """
DELETE FROM rollups WHERE ctid = ANY (ARRAY(
    WITH RECURSIVE facility AS (
        (SELECT facility_id FROM rollups ORDER BY facility_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.facility_id FROM rollups r WHERE r.facility_id > f.facility_id ORDER BY facility_id LIMIT 1)
        FROM facility f WHERE f.facility_id IS NOT NULL
    )
    SELECT old.ctid FROM facility f, (VALUES (60), (900), (3600)) AS s (step_s), LATERAL (
        SELECT r.ctid FROM rollups r
        WHERE r.facility_id = f.facility_id AND r.step_s = s.step_s AND r.starts_at < %(moment)s
        ORDER BY r.starts_at LIMIT %(limit)s
    ) old
    LIMIT %(limit)s
))
"""
_OLD = {
    "interval_readings": "source = 'meter' AND starts_at < %(moment)s",
    "telemetry_corrections": "corrected_at < %(moment)s",
    "meter_days": "day < (%(moment)s AT TIME ZONE 'UTC')::date - 1",
}
"""Conditions for old rows computed from readings. Presence is kept one day longer, because it shows which
readings are missing."""
_STATEMENTS = (
    DELETE_ROLLUPS,
    *(_DELETE.format(table=table, is_old=is_old) for table, is_old in _OLD.items()),
)


def days_with_readings(conn: psycopg.Connection[Any]) -> list[date]:
    """The UTC days that have storage for readings, the oldest first."""
    return [day for (day,) in conn.execute(_DAYS)]


class PostgresTelemetryRetention:
    """`pool`'s connections find the schema by their search_path."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def raw_days(self) -> list[date]:
        with telemetry_transaction(self._pool) as conn:
            return days_with_readings(conn)

    def drop_raw_day(self, day: date, *, min_age_wall_s: float) -> bool:
        with telemetry_transaction(self._pool) as conn:
            try:
                kept = timedelta(seconds=min_age_wall_s)
                row = conn.execute("SELECT drop_readings_day(%s, %s)", (day, kept)).fetchone()
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                conn.rollback()
                return False
        return row is not None and bool(row[0])

    def delete_rollups_before(self, moment: datetime, *, limit: int) -> int:
        deleted = 0
        with telemetry_transaction(self._pool) as conn:
            for statement in _STATEMENTS:
                if deleted < limit:
                    bounds = {"moment": moment, "limit": limit - deleted}
                    deleted += conn.execute(statement.encode(), bounds).rowcount
        return deleted

    def now(self) -> datetime:
        with telemetry_transaction(self._pool) as conn:
            row = conn.execute("SELECT clock_timestamp()").fetchone()
        if row is None:
            raise TelemetryStoreUnavailable("PostgreSQL did not say what time it is")
        return row[0].astimezone(UTC)  # type: ignore[no-any-return]
