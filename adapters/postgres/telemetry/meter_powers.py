"""Power of single meters, from the readings in PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.readings.chunk_query import chunk_ranges, readings_in
from adapters.postgres.telemetry.readings.recent import recent_readings
from adapters.postgres.telemetry.transaction import telemetry_transaction
from adapters.postgres.wire_format.copy_format import unix_seconds
from application.telemetry.store_health import TelemetryHealth
from domain.telemetry.facility_rollups import LOOK_BACK_S
from domain.telemetry.load_history import MeterPowers
from domain.telemetry.reading_arrays import usable
from domain.telemetry.reading_block import ReadingBlock
from domain.time_series.windows import TimeWindow

_PRESENT = """
SELECT r.meter_id, min(r.ts), max(r.ts) FROM reading_chunks c, unnest(c.meter_ids, c.ts) AS r (meter_id, ts)
WHERE c.facility_id = %(facility)s AND r.ts >= %(first)s AND r.ts < %(high)s
    AND c.quarter > %(first)s - interval '15 minutes' AND c.quarter < %(high)s
GROUP BY r.meter_id
"""


class PostgresMeterPowers:
    """`pool` as for the telemetry store."""

    def __init__(self, pool: ConnectionPool[Any], health: TelemetryHealth | None = None) -> None:
        self._pool = pool
        self._health = health or TelemetryHealth()

    def meter_powers(self, facility_id: str, window: TimeWindow) -> list[MeterPowers]:
        start, high = window.starts_at, window.ends_at
        low = start - timedelta(seconds=LOOK_BACK_S)
        first = start - timedelta(days=1)
        parameters = {"facility": facility_id, "first": first, "high": high}
        with telemetry_transaction(self._pool, self._health.timed("powers of meters")) as conn:
            recent = recent_readings(conn, [facility_id])
            present = _with_recent(conn.execute(_PRESENT, parameters).fetchall(), recent, first, high)
            stored = readings_in(conn, chunk_ranges(0, facility_id, low, high), recent)
        columns = stored.columns
        at_s = unix_seconds(columns.ts_us) - start.timestamp()
        counts = (
            usable(columns)
            & np.isfinite(columns.kw)
            & (at_s >= -LOOK_BACK_S)
            & (at_s < (high - start).total_seconds())
        )
        powers = {}
        for number, (_, meter_id) in enumerate(stored.meters):
            of_meter = counts & (columns.meter == number)
            powers[meter_id] = at_s[of_meter], columns.kw[of_meter]
        nothing = np.empty(0), np.empty(0)
        return [_powers((meter, *present[meter]), *powers.get(meter, nothing)) for meter in sorted(present)]


def _with_recent(
    rows: Sequence[tuple[str, datetime, datetime]], recent: ReadingBlock, first: datetime, high: datetime
) -> dict[str, tuple[datetime, datetime]]:
    """Meter -> times of its first and newest reading."""
    present = {meter_id: (first_at, newest_at) for meter_id, first_at, newest_at in rows}
    for reading in recent:
        if first <= reading.ts < high:
            first_at, newest_at = present.get(reading.meter_id, (reading.ts, reading.ts))
            present[reading.meter_id] = min(first_at, reading.ts), max(newest_at, reading.ts)
    return present


def _powers(row: tuple[str, datetime, datetime], offset_s: Any, kw: Any) -> MeterPowers:
    meter_id, first_at, newest_at = row
    return MeterPowers(meter_id, first_at.astimezone(UTC), newest_at.astimezone(UTC), offset_s, kw)
