"""The telemetry store on PostgreSQL: daily partitions of readings, quarter-hour intervals, current values."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.current_values import current_values
from adapters.postgres.telemetry.import_corrections import corrections_of_import
from adapters.postgres.telemetry.imported_intervals import put_imported, stored_intervals
from adapters.postgres.telemetry.readings.insert import ReadingWriter
from adapters.postgres.telemetry.readings.recent import days_of_recent, newest_of, recent_readings
from adapters.postgres.telemetry.transaction import telemetry_transaction
from adapters.postgres.thread_batcher import ThreadBatcher
from application.ports.clock import Clock
from application.ports.telemetry.store import (
    CurrentValue,
    ImportedIntervals,
    ImportOutcome,
    ReadingsRefused,
    TelemetryStoreUnavailable,
)
from application.telemetry.store_health import TelemetryHealth
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_block import ReadingBlock, UnjoinableId
from domain.time_series.interval_block import IntervalBlock, block_of, steps_in
from domain.time_series.windows import TimeWindow

_OPEN = """
SELECT min(starts_at), max(starts_at) FROM unsettled_quarters WHERE facility_id = ANY(%s)
"""
# The constant bounds let the planner skip the partitions of other days. The inner bound limits the search to
# imports that are newer than the meters' readings.
_NEWEST = """
SELECT f.facility_id, greatest(m.newest_at, r.ts, i.ends_at)
FROM unnest(%(facilities)s::text[]) AS f (facility_id)
LEFT JOIN LATERAL (
    SELECT max(newest_reading_at) AS newest_at FROM current_values c WHERE c.facility_id = f.facility_id
) m ON true
LEFT JOIN LATERAL (
    SELECT max(c.ts[cardinality(c.ts)]) AS ts FROM (
        SELECT u.starts_at, n.first_at FROM unsettled_quarters u, LATERAL (
            SELECT max(c.ts[1]) AS first_at FROM reading_chunks c
            WHERE c.quarter = u.starts_at AND c.facility_id = u.facility_id
                AND c.quarter >= %(first)s AND c.quarter <= %(last)s
        ) n
        WHERE u.facility_id = f.facility_id AND n.first_at IS NOT NULL ORDER BY u.starts_at DESC LIMIT 1
    ) latest JOIN reading_chunks c ON c.quarter = latest.starts_at AND c.facility_id = f.facility_id
        AND c.ts[1] >= date_trunc('minute', latest.first_at, 'UTC')
        AND c.quarter >= %(first)s AND c.quarter <= %(last)s
) r ON true
LEFT JOIN LATERAL (
    SELECT starts_at + step_s * interval '1 second' AS ends_at FROM interval_readings i
    WHERE i.facility_id = f.facility_id AND i.source = 'import' AND i.mean_kw IS NOT NULL
        AND i.starts_at >= coalesce(greatest(m.newest_at, r.ts), '-infinity') - interval '1 day'
    ORDER BY i.starts_at DESC LIMIT 1
) i ON true
WHERE greatest(m.newest_at, r.ts, i.ends_at) IS NOT NULL
"""
_DAY_S = 86_400


class PostgresTelemetryStore:
    """`pool`'s connections find the schema by their search_path; `clock` dates corrections."""

    def __init__(
        self, pool: ConnectionPool[Any], clock: Clock, health: TelemetryHealth | None = None
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._health = health or TelemetryHealth()
        self._days_ready: set[datetime] = set()
        self._writer = ReadingWriter(pool, clock, self._health)
        # A transaction per partition would cost more than its rows. A refused batch fails no other.
        self._grouped = ThreadBatcher(
            self._writer.write, unavailable=(TelemetryStoreUnavailable,), repeats=True
        )

    def write_readings(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        try:
            block = ReadingBlock.of(readings)
        except UnjoinableId as error:
            raise ReadingsRefused(str(error)) from error
        self._prepare(sorted(_days_of(block) - self._days_ready))
        batch = self._writer.batch_of(partition, stream_seq, block)
        try:
            # Readings that must be compared with stored ones take longer, so they are written separately.
            return self._writer.write([batch])[0] if batch.encoded is None else self._grouped.get(batch)
        except (InterfaceError, OperationalError) as error:  # not begun, or its leader was stopped
            raise TelemetryStoreUnavailable(str(error)) from error
        except ReadingsRefused as error:
            if "no partition of relation" not in str(error):
                raise
            self._days_ready.clear()
            with telemetry_transaction(self._pool) as conn:
                days = days_of_recent(conn, partition)
            self._prepare(days)
            raise TelemetryStoreUnavailable("a day's partition was dropped; it is made again") from error

    def position(self, partition: int) -> int:
        with telemetry_transaction(self._pool) as conn:
            row = conn.execute(
                "SELECT stream_seq FROM telemetry_positions WHERE partition = %s", (partition,)
            ).fetchone()
        return int(row[0]) if row else 0

    def current(self, facility_ids: Sequence[str]) -> list[CurrentValue]:
        with self._query("current values") as conn:
            values = current_values(conn, facility_ids)
        return [values[f] for f in facility_ids if f in values]

    def newest_readings_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        with self._query("newest readings") as conn:
            requested = list(facility_ids)
            buffered = recent_readings(conn, requested)
            # Intervals that are marked meanwhile are found by the next call.
            first, last = conn.execute(_OPEN, (requested,)).fetchone() or (None, None)
            rows = conn.execute(_NEWEST, {"facilities": requested, "first": first, "last": last}).fetchall()
        newest = {facility: at.astimezone(UTC) for facility, at in rows}
        for facility_id, at in newest_of(buffered).items():
            newest[facility_id] = max(at, newest.get(facility_id, at))
        return newest

    def newest_reading_at(self, facility_id: str) -> datetime | None:
        return self.newest_readings_at([facility_id]).get(facility_id)

    def interval_series_of(
        self, facility_ids: Sequence[str], window: TimeWindow, step_s: int = INTERVAL_S
    ) -> IntervalBlock:
        steps_in(window, step_s)
        with self._query("intervals") as conn:
            stored = stored_intervals(conn, facility_ids, window)
        return block_of(facility_ids, window, step_s, stored)

    def import_intervals(self, intervals: ImportedIntervals, import_id: UUID | None = None) -> ImportOutcome:
        timer = self._health.timed("import intervals", is_write=True)
        at = self._clock.now()
        with telemetry_transaction(self._pool, timer) as conn:
            if import_id is None:
                return put_imported(conn, intervals, None, at=at)
            with corrections_of_import(conn, intervals, at=at):
                return put_imported(conn, intervals, import_id, at=at)

    def prepare_days(self, days_from: datetime, days_to: datetime) -> None:
        self._prepare([day for day in _days_between(days_from, days_to) if day not in self._days_ready])

    def _prepare(self, days: Sequence[datetime]) -> None:
        if days:
            # A separate transaction, because creating a partition blocks other sessions that create one.
            with telemetry_transaction(self._pool) as conn:
                for day in days:
                    conn.execute("SELECT prepare_readings_day(%s)", (day.date(),))
            self._days_ready.update(days)

    def _query(self, statement: str) -> AbstractContextManager[psycopg.Connection[Any]]:
        return telemetry_transaction(self._pool, self._health.timed(statement))


def _days_of(readings: ReadingBlock) -> set[datetime]:
    """The UTC days of `readings`, as midnights."""
    return {
        datetime.fromtimestamp(day * _DAY_S, UTC)
        for day in np.unique(readings.ts_us // (_DAY_S * 1_000_000)).tolist()
    }


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _days_between(first: datetime, last: datetime) -> list[datetime]:
    """The UTC midnights from the day of `first` to the day of `last`."""
    start = _midnight(first)
    return [start + timedelta(days=n) for n in range((_midnight(last) - start).days + 1)]
