"""Finalization: dirty quarter-hours are written as rollups, in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

import psycopg

from adapters.postgres.telemetry.dirty_intervals import clear, due
from adapters.postgres.telemetry.readings.deduplication import deduplicate
from adapters.postgres.telemetry.readings.insert import flush_buffer
from adapters.postgres.telemetry.rollups.compute import compute_quarters, reading_counts
from adapters.postgres.telemetry.rollups.meter_presence import record_presence
from adapters.postgres.telemetry.rollups.write import existing_rollups, write_rollups
from adapters.postgres.telemetry.rollups.write_current import write_current_values
from application.ports.telemetry.progress import Quarter
from application.ports.telemetry.rollups import FinalizeResult
from domain.telemetry.facility_rollups import FINALIZED_AFTER

Connection = psycopg.Connection[Any]

MAX_READINGS = 100_000
"""Readings per transaction, including the quarter-hour before and the beginning of the next one. A single
quarter-hour may need more. The limit bounds memory and the time for which writers wait."""

_FINALIZED_BY = """
UPDATE telemetry_positions SET settled_by = %(at)s
WHERE partition = %(partition)s AND (settled_by IS NULL OR settled_by < %(at)s)
"""


def finalize_quarters(conn: Connection, partition: int, *, at: datetime, limit: int) -> FinalizeResult:
    """Finalize at most `limit` due quarter-hours of the partition. The caller holds the partition's lock."""
    every = due(conn, partition, at - FINALIZED_AFTER, limit=limit)
    if not every:
        return FinalizeResult()
    flush_buffer(conn, partition, at=at)
    quarters = _together(conn, every)
    computed = compute_quarters(conn, quarters, dirty=quarters)
    record_presence(conn, partition, computed.present)
    old = existing_rollups(conn, quarters)
    write_current_values(conn, computed.newest, [quarters[n] for n in old])
    corrected = write_rollups(conn, computed, old, at)
    if computed.repeated:
        deduplicate(conn, computed.repeated)
    clear(conn, quarters)
    conn.execute(_FINALIZED_BY, {"at": at, "partition": partition})
    return FinalizeResult(quarters=len(quarters), corrected=corrected, more=len(quarters) < len(every))


def _together(conn: Connection, quarters: Sequence[Quarter]) -> Sequence[Quarter]:
    """The first quarter-hours, as many as MAX_READINGS allows in one transaction."""
    reached = accumulate(reading_counts(conn, quarters))
    return quarters[: max(1, sum(1 for readings in reached if readings <= MAX_READINGS))]
