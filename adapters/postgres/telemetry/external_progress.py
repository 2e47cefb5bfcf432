"""Positions, dirty intervals and corrections in PostgreSQL for a telemetry store that keeps the readings
elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry import dirty_intervals
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.clock import Clock
from application.ports.telemetry.progress import Correction, Quarter
from application.ports.telemetry.rollups import CorrectedInterval

# Longer than the time that one block waits for InfluxDB.
_TIMEOUTS = "SET LOCAL idle_in_transaction_session_timeout = '300s'; SET LOCAL statement_timeout = '300s'"
_MOVE = """
INSERT INTO telemetry_positions AS p (partition, stream_seq, stored_at) VALUES (%s, %s, %s)
ON CONFLICT (partition) DO UPDATE
    SET stream_seq = greatest(p.stream_seq, EXCLUDED.stream_seq), stored_at = EXCLUDED.stored_at
"""


class PostgresTelemetryProgress:
    """`pool`'s connections find the schema by their search_path."""

    def __init__(self, pool: ConnectionPool[Any], clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def position(self, partition: int) -> int:
        with telemetry_transaction(self._pool) as conn:
            row = conn.execute(
                "SELECT stream_seq FROM telemetry_positions WHERE partition = %s", (partition,)
            ).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def moving(self, partition: int) -> Iterator[_PartitionProgress]:
        """A transaction: if the process dies in it, the partition is released at once and nothing is recorded."""
        with telemetry_transaction(self._pool, partitions=[partition]) as conn:
            conn.execute(_TIMEOUTS)
            yield _PartitionProgress(conn, partition, self._clock)

    def dirty_quarters(
        self, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
    ) -> list[Quarter]:
        with telemetry_transaction(self._pool) as conn:
            return dirty_intervals.dirty_between(conn, facility_ids, starts_from, ends_at)

    def corrections_after(self, correction_id: int, *, limit: int) -> list[CorrectedInterval]:
        return PostgresTelemetryRollups(self._pool, self._clock).corrections_after(correction_id, limit=limit)


class _PartitionProgress:
    def __init__(self, conn: psycopg.Connection[Any], partition: int, clock: Clock) -> None:
        self._conn = conn
        self._partition = partition
        self._clock = clock

    def mark_dirty(self, quarters: Sequence[Quarter]) -> None:
        dirty: dirty_intervals.DirtyIntervals = {}
        for facility_id, start in quarters:
            dirty.setdefault(int(start.timestamp()), set()).add(facility_id)
        dirty_intervals.mark_dirty(self._conn, [(self._partition, dirty)])

    def move(self, stream_seq: int) -> None:
        self._conn.execute(_MOVE, (self._partition, stream_seq, self._clock.now()))

    def due(self, started_before: datetime, *, limit: int) -> list[Quarter]:
        return dirty_intervals.due(self._conn, self._partition, started_before, limit=limit)

    def finalized(
        self, quarters: Sequence[Quarter], corrected: Sequence[Correction], *, at: datetime
    ) -> None:
        dirty_intervals.clear(self._conn, quarters)
        dirty_intervals.record_corrections(self._conn, corrected, at=at)
