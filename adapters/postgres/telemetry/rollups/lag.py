"""Lag of finalization, in PostgreSQL. A telemetry store of another kind keeps its dirty intervals here too."""

from datetime import UTC, datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.telemetry.rollup_lag import FinalizingDelay
from domain.telemetry.facility_rollups import FINALIZED_AFTER

# After a late reading an old quarter-hour waits from the arrival of the reading, not from its own end.
_LONGEST = """
SELECT facility_id, starts_at, least(
    extract(epoch FROM clock_timestamp() - noted_at), extract(epoch FROM %(due)s - starts_at) * %(wall)s
)::float8 AS waits_s, count(*) OVER () AS waiting
FROM unsettled_quarters WHERE starts_at <= %(due)s ORDER BY waits_s DESC LIMIT 1
"""


class PostgresFinalizingLag:
    """`pool`'s connections find the schema by their search_path."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def longest_wait(self, now: datetime, *, wall_s_per_s: float) -> FinalizingDelay | None:
        with telemetry_transaction(self._pool) as conn:
            row = conn.execute(_LONGEST, {"due": now - FINALIZED_AFTER, "wall": wall_s_per_s}).fetchone()
        if row is None:
            return None
        facility_id, starts_at, waits_s, waiting = row
        return FinalizingDelay(
            facility_id=facility_id,
            starts_at=starts_at.astimezone(UTC),
            waits_s=max(waits_s, 0.0),
            waiting=waiting,
        )
