"""Counts of readings in PostgreSQL: as stored in chunks, and as counted in rollups."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors
from adapters.postgres.telemetry.rollups.compute import compute_dirty
from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.telemetry.progress import Quarter
from application.ports.telemetry.reading_counts import MeterSeqs, QuarterHourCounts
from application.ports.telemetry.store import TelemetryStoreUnavailable
from domain.telemetry.intervals import INTERVAL, interval_start

FACILITIES_PER_QUERY = 100

# Not by the view, which shows each moment once. In a finalized quarter-hour no moment may be stored twice.
_SEQS = """
SELECT c.facility_id, r.meter_id,
    count(*) FILTER (WHERE u.starts_at IS NULL) + count(DISTINCT r.ts) FILTER (WHERE u.starts_at IS NOT NULL),
    count(DISTINCT r.seq), min(r.seq), max(r.seq)
FROM stored_chunks c LEFT JOIN unsettled_quarters u ON (u.facility_id, u.starts_at) = (c.facility_id, c.quarter),
    unnest(c.meter_ids, c.ts, c.seq) AS r (meter_id, ts, seq)
WHERE starts_with(c.facility_id, %(prefix)s) AND r.ts BETWEEN %(since)s AND %(until)s AND r.seq >= 0
    AND c.quarter > %(since)s - interval '15 minutes' AND c.quarter <= %(until)s
GROUP BY c.facility_id, r.meter_id
"""
_FACILITIES = """
SELECT DISTINCT facility_id FROM stored_chunks
WHERE starts_with(facility_id, %s) AND quarter >= %s AND quarter < %s ORDER BY facility_id
"""
_MOMENTS = """
SELECT facility_id, quarter, count(*) FROM (
    SELECT DISTINCT c.facility_id, c.quarter, r.meter_id, r.ts
    FROM stored_chunks c, unnest(c.meter_ids, c.ts) AS r (meter_id, ts)
    WHERE c.facility_id = ANY(%s) AND c.quarter >= %s AND c.quarter < %s
) said GROUP BY facility_id, quarter
"""
_FINALIZED = """
SELECT facility_id, date_bin('15 minutes', starts_at, 'epoch'),
    greatest(sum(readings) FILTER (WHERE step_s = 60), sum(readings) FILTER (WHERE step_s = 900))
FROM rollups
WHERE facility_id = ANY(%s) AND starts_at >= %s AND starts_at < %s AND step_s IN (60, 900) GROUP BY 1, 2
"""


class PostgresStoredReadings:
    """`pool` as for the telemetry store."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def seqs(self, facility_prefix: str, since: datetime, until: datetime) -> Iterator[MeterSeqs]:
        with (
            PortErrors(TelemetryStoreUnavailable).translated(),
            self._pool.connection() as connection,  # without a time-out: this may take minutes
            connection.cursor(name="stored_readings") as cursor,
        ):
            cursor.itersize = 10_000
            cursor.execute(_SEQS, {"prefix": facility_prefix, "since": since, "until": until})
            for facility_id, meter_id, rows, distinct, lowest, highest in cursor:
                yield MeterSeqs(
                    facility_id=facility_id,
                    meter_id=meter_id,
                    rows=rows,
                    distinct_seqs=distinct,
                    lowest_seq=lowest,
                    highest_seq=highest,
                )

    def rolled_up(
        self, facility_prefix: str, since: datetime, until: datetime
    ) -> Iterator[QuarterHourCounts]:
        bounds = interval_start(since), interval_start(until) + INTERVAL
        with telemetry_transaction(self._pool) as conn:
            facility_ids = [
                row[0] for row in conn.execute(_FACILITIES, (facility_prefix, *bounds)).fetchall()
            ]
        for first in range(0, len(facility_ids), FACILITIES_PER_QUERY):
            yield from self._rolled_up(facility_ids[first : first + FACILITIES_PER_QUERY], *bounds)

    def _rolled_up(
        self, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
    ) -> list[QuarterHourCounts]:
        parameters = (list(facility_ids), starts_from, ends_at)
        with telemetry_transaction(self._pool) as conn:
            # Readings that arrive between two queries would count as duplicates.
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            moments = _by_quarter(conn, _MOMENTS, parameters)
            counted = _by_quarter(conn, _FINALIZED, parameters)
            computed = compute_dirty(conn, facility_ids, starts_from, ends_at)
        if computed is not None:
            by_minute = computed.minutes.readings.sum(axis=1).tolist()
            by_quarter = computed.whole.readings[:, 0].tolist()
            for n, quarter in enumerate(computed.quarters):
                if computed.rows_seen[n]:
                    counted[quarter] = max(by_minute[n], by_quarter[n])
        return [
            QuarterHourCounts(
                facility_id=facility_id, starts_at=start, moments=moments.get(quarter, 0), counted=number
            )
            for quarter, number in sorted(counted.items())
            for facility_id, start in [quarter]
        ]


def _by_quarter(conn: psycopg.Connection[Any], query: str, parameters: Sequence[Any]) -> dict[Quarter, int]:
    rows = conn.execute(query.encode(), parameters).fetchall()
    return {(facility_id, start.astimezone(UTC)): int(number) for facility_id, start, number in rows}
