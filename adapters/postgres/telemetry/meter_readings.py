"""Single readings of a facility's meters from PostgreSQL."""

from typing import Any

import msgspec
import numpy as np
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.readings.chunk_query import chunk_ranges, readings_in
from adapters.postgres.telemetry.transaction import telemetry_transaction
from adapters.postgres.wire_format.copy_format import POSTGRES_EPOCH_S
from domain.telemetry.reading_arrays import MeterReadings
from domain.telemetry.reading_block import microseconds
from domain.time_series.windows import TimeWindow

_EPOCH_US = POSTGRES_EPOCH_S * 1_000_000


class PostgresMeterReadings:
    """`pool` as for the telemetry store."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def meter_readings(self, facility_id: str, window: TimeWindow) -> list[MeterReadings]:
        with telemetry_transaction(self._pool) as conn:
            stored = readings_in(conn, chunk_ranges(0, facility_id, window.starts_at, window.ends_at))
        columns = msgspec.structs.replace(stored.columns, ts_us=stored.columns.ts_us + _EPOCH_US)
        first_us, last_us = microseconds([window.starts_at, window.ends_at])
        columns = columns.chosen((columns.ts_us >= first_us) & (columns.ts_us < last_us))
        # By meter and time: the readings of each meter are one slice.
        ends = np.searchsorted(columns.meter, np.arange(len(stored.meters) + 1))
        return [
            MeterReadings(meter_id, columns.chosen(np.arange(ends[n], ends[n + 1])))
            for n, (_, meter_id) in enumerate(stored.meters)
            if ends[n] < ends[n + 1]
        ]
