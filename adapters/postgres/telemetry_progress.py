"""Positions, news and corrections of telemetry in PostgreSQL, where the readings are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry_connection import telemetry_connection
from adapters.postgres.telemetry_rollups import PostgresTelemetryRollups
from application.ports.clock import Clock
from application.ports.telemetry_progress import Correction, Quarter
from application.ports.telemetry_rollups import CorrectedInterval

# Longer than InfluxDB is waited for in one block.
_BOUNDED = "SET LOCAL idle_in_transaction_session_timeout = '300s'; SET LOCAL statement_timeout = '300s'"
_MOVE = """
INSERT INTO telemetry_positions AS p (partition, stream_seq, stored_at) VALUES (%s, %s, %s)
ON CONFLICT (partition) DO UPDATE
    SET stream_seq = greatest(p.stream_seq, EXCLUDED.stream_seq), stored_at = EXCLUDED.stored_at
"""
_NOTE = """
INSERT INTO unsettled_quarters (facility_id, starts_at, partition)
SELECT facility_id, starts_at, %s::smallint FROM unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
ON CONFLICT DO NOTHING
"""
_DUE = """
SELECT facility_id, starts_at FROM unsettled_quarters
WHERE partition = %s AND starts_at <= %s ORDER BY starts_at, facility_id LIMIT %s
"""
_DONE = """
DELETE FROM unsettled_quarters u USING unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
WHERE (u.facility_id, u.starts_at) = (t.facility_id, t.starts_at)
"""
_UNSETTLED = """
SELECT facility_id, starts_at FROM unsettled_quarters
WHERE facility_id = ANY(%s) AND starts_at >= %s AND starts_at < %s ORDER BY 2, 1
"""
_CORRECTIONS = """
INSERT INTO telemetry_corrections
    (facility_id, starts_at, old_mean_kw, new_mean_kw, old_kwh, new_kwh, corrected_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_ORDERED_CORRECTIONS = 0x7E1F


class PostgresTelemetryProgress:
    """`pool`'s connections find the schema by their search_path."""

    def __init__(self, pool: ConnectionPool[Any], clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def position(self, partition: int) -> int:
        with telemetry_connection(self._pool) as conn:
            row = conn.execute(
                "SELECT stream_seq FROM telemetry_positions WHERE partition = %s", (partition,)
            ).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def moving(self, partition: int) -> Iterator[_Moving]:
        """One transaction: whoever dies in it lets go of the partition at once, and has told nothing."""
        with telemetry_connection(self._pool, partition=partition) as conn:
            conn.execute(_BOUNDED)
            yield _Moving(conn, partition, self._clock)

    def unsettled(
        self, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
    ) -> list[Quarter]:
        with telemetry_connection(self._pool) as conn:
            rows = conn.execute(_UNSETTLED, (list(facility_ids), starts_from, ends_at)).fetchall()
        return [(facility, start.astimezone(UTC)) for facility, start in rows]

    def corrections_after(self, correction_id: int, *, limit: int) -> list[CorrectedInterval]:
        return PostgresTelemetryRollups(self._pool, self._clock).corrections_after(correction_id, limit=limit)


class _Moving:
    def __init__(self, conn: psycopg.Connection[Any], partition: int, clock: Clock) -> None:
        self._conn = conn
        self._partition = partition
        self._clock = clock

    def note(self, quarters: Sequence[Quarter]) -> None:
        self._conn.execute(_NOTE, (self._partition, *_columns(quarters)))

    def move(self, stream_seq: int) -> None:
        self._conn.execute(_MOVE, (self._partition, stream_seq, self._clock.now()))

    def due(self, started_before: datetime, *, limit: int) -> list[Quarter]:
        rows = self._conn.execute(_DUE, (self._partition, started_before, limit)).fetchall()
        return [(facility, start.astimezone(UTC)) for facility, start in rows]

    def settled(self, quarters: Sequence[Quarter], corrected: Sequence[Correction], *, at: datetime) -> None:
        self._conn.execute(_DONE, _columns(quarters))
        if corrected:
            # Until the commit, so that the numbers become visible in their order.
            self._conn.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_ORDERED_CORRECTIONS,))
            rows = [
                (c.facility_id, c.starts_at, c.old_mean_kw, c.new_mean_kw, c.old_kwh, c.new_kwh, at)
                for c in corrected
            ]
            with self._conn.cursor() as cursor:
                cursor.executemany(_CORRECTIONS, rows)


def _columns(quarters: Sequence[Quarter]) -> tuple[list[str], list[datetime]]:
    return [facility for facility, _ in quarters], [start for _, start in quarters]
