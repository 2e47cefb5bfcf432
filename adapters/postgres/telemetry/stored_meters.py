"""Meters with stored readings in PostgreSQL, and the removal of the readings of one of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.current_values import current_values
from adapters.postgres.telemetry.readings.insert import flush_buffer
from adapters.postgres.telemetry.readings.removal import forget_presence, meter_quarters, remove_readings
from adapters.postgres.telemetry.retention import days_with_readings
from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.clock import Clock
from application.ports.telemetry.stored_meters import ReadingRemoval, StoredExtent, StoredMeter
from domain.telemetry.meter_reading import partition_of

_FINALIZED = """
SELECT meter_id, newest_reading_at, kw, kwh_total FROM current_values WHERE facility_id = %s
"""
_EXTENT = """
SELECT count(*), min(r.ts), max(r.ts)
FROM reading_chunks c, unnest(c.meter_ids, c.ts) AS r (meter_id, ts)
WHERE c.facility_id = %(facility)s AND c.quarter = ANY(%(quarters)s) AND r.meter_id = %(meter)s
    AND c.quarter >= %(low)s AND c.quarter < %(high)s
"""
_RECORD = """
INSERT INTO reading_removals (act_id, facility_id, meter_id, reason, removed_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_REMOVALS = """
SELECT act_id, facility_id, meter_id, reason, removed_at FROM reading_removals
WHERE facility_id = %s ORDER BY removed_at DESC
"""
_DAY = timedelta(days=1)


class PostgresStoredMeters:
    """`pool` as for the telemetry store."""

    def __init__(self, pool: ConnectionPool[Any], clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def meters(self, facility_id: str) -> list[StoredMeter]:
        with telemetry_transaction(self._pool) as conn:
            value = current_values(conn, [facility_id]).get(facility_id)
            rows = conn.execute(_FINALIZED, (facility_id,)).fetchall()
        found = {
            meter_id: StoredMeter(
                meter_id=meter_id, newest_reading_at=at.astimezone(UTC), kw=kw, kwh_total=kwh_total
            )
            for meter_id, at, kw, kwh_total in rows
        }
        for one in () if value is None else value.meters:
            found[one.meter_id] = StoredMeter(
                meter_id=one.meter_id,
                newest_reading_at=one.newest_reading_at,
                kw=one.kw,
                kwh_total=one.kwh_total,
            )
        return [found[meter_id] for meter_id in sorted(found)]

    def extent(self, facility_id: str, meter_id: str) -> StoredExtent | None:
        readings, firsts, lasts = 0, [], []
        for conn, low, quarters in self._days(facility_id, meter_id):
            row = conn.execute(
                _EXTENT,
                {
                    "facility": facility_id,
                    "meter": meter_id,
                    "quarters": quarters,
                    "low": low,
                    "high": low + _DAY,
                },
            ).fetchone()
            if row is not None and row[0]:
                readings += int(row[0])
                firsts.append(row[1].astimezone(UTC))
                lasts.append(row[2].astimezone(UTC))
        if not readings:
            return None
        return StoredExtent(readings=readings, first_at=min(firsts), newest_at=max(lasts))

    def remove(self, removal: ReadingRemoval) -> int:
        facility_id, meter_id = removal.facility_id, removal.meter_id
        row = (removal.act_id, facility_id, meter_id, removal.reason, removal.removed_at)
        with telemetry_transaction(self._pool) as conn:
            conn.execute(_RECORD, row)
            days = days_with_readings(conn)
        removed = sum(
            remove_readings(conn, facility_id, meter_id, quarters, at=self._clock.now())
            for conn, _, quarters in self._days(facility_id, meter_id)
        )
        if days:
            with telemetry_transaction(self._pool, partitions=[partition_of(facility_id)]) as conn:
                forget_presence(conn, facility_id, meter_id, since=_midnight(min(days)))
        return removed

    def removals(self, facility_id: str) -> Sequence[ReadingRemoval]:
        with telemetry_transaction(self._pool) as conn:
            rows = conn.execute(_REMOVALS, (facility_id,)).fetchall()
        return [
            ReadingRemoval(
                act_id=act_id,
                facility_id=facility,
                meter_id=meter_id,
                reason=reason,
                removed_at=removed_at.astimezone(UTC),
            )
            for act_id, facility, meter_id, reason, removed_at in rows
        ]

    def _days(
        self, facility_id: str, meter_id: str
    ) -> Iterator[tuple[psycopg.Connection[Any], datetime, list[datetime]]]:
        """Each UTC day with readings of the meter, in a transaction of its own: its start, and its quarter-hours with
        such readings. The buffered readings are moved into chunks first."""
        with self._locked(facility_id) as conn:
            flush_buffer(conn, partition_of(facility_id), at=self._clock.now())
            days = days_with_readings(conn)
        for day in days:
            low = _midnight(day)
            with self._locked(facility_id) as conn:
                if quarters := meter_quarters(conn, facility_id, meter_id, low, low + _DAY):
                    yield conn, low, quarters

    @contextmanager
    def _locked(self, facility_id: str) -> Iterator[psycopg.Connection[Any]]:
        with telemetry_transaction(self._pool, partitions=[partition_of(facility_id)]) as conn:
            yield conn


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
