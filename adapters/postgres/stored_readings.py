"""Readings counted in PostgreSQL."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from application.ports.stored_readings import MeterSeqs
from application.ports.telemetry_store import TelemetryStoreUnavailable

_COUNT = """
SELECT facility_id, meter_id, count(*), count(DISTINCT seq), min(seq), max(seq)
FROM meter_readings
WHERE starts_with(facility_id, %(prefix)s) AND ts BETWEEN %(since)s AND %(until)s AND seq IS NOT NULL
    AND quarter > %(since)s - interval '15 minutes' AND quarter <= %(until)s
GROUP BY facility_id, meter_id
"""


class PostgresStoredReadings:
    """`pool` as for the telemetry store."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def seqs(self, facility_prefix: str, since: datetime, until: datetime) -> Iterator[MeterSeqs]:
        try:
            with self._pool.connection() as connection, connection.cursor(name="stored_readings") as cursor:
                cursor.itersize = 10_000
                cursor.execute(_COUNT, {"prefix": facility_prefix, "since": since, "until": until})
                for facility_id, meter_id, rows, distinct, lowest, highest in cursor:
                    yield MeterSeqs(
                        facility_id=facility_id,
                        meter_id=meter_id,
                        rows=rows,
                        distinct_seqs=distinct,
                        lowest_seq=lowest,
                        highest_seq=highest,
                    )
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise TelemetryStoreUnavailable(f"readings not counted: {error}") from error
