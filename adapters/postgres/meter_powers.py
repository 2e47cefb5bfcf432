"""What single meters said of their power, out of the readings in PostgreSQL."""

from datetime import UTC, timedelta
from typing import Any

import numpy as np
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry_connection import telemetry_connection
from domain.load_history import MeterPowers
from domain.rollups import LOOK_BACK_S
from domain.time_windows import TimeWindow

_PRESENT = """
SELECT meter_id, min(ts), max(ts) FROM readings
WHERE facility_id = %s AND ts >= %s AND ts < %s GROUP BY meter_id ORDER BY meter_id
"""
_POWERS = """
SELECT meter_id, array_agg(extract(epoch FROM ts - %(start)s)::float8 ORDER BY ts), array_agg(kw ORDER BY ts)
FROM readings
WHERE facility_id = %(facility)s AND ts >= %(low)s AND ts < %(high)s
    AND kw IS NOT NULL AND quality NOT IN ('bad', 'missing')
GROUP BY meter_id
"""


class PostgresMeterPowers:
    """`pool` as for the telemetry store."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def meter_powers(self, facility_id: str, window: TimeWindow) -> list[MeterPowers]:
        start, high = window.starts_at, window.ends_at
        asked = {
            "facility": facility_id,
            "start": start,
            "low": start - timedelta(seconds=LOOK_BACK_S),
            "high": high,
        }
        with telemetry_connection(self._pool) as conn:
            present = conn.execute(_PRESENT, (facility_id, start - timedelta(days=1), high)).fetchall()
            powers = {meter_id: rest for meter_id, *rest in conn.execute(_POWERS, asked)}
        found = []
        for meter_id, first_at, newest_at in present:
            offset_s, kw = powers.get(meter_id, ([], []))
            found.append(
                MeterPowers(
                    meter_id,
                    first_at.astimezone(UTC),
                    newest_at.astimezone(UTC),
                    np.array(offset_s, dtype=np.float64),
                    np.array(kw, dtype=np.float64),
                )
            )
        return found
