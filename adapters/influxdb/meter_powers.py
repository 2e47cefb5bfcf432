"""The power of single meters, from the readings in InfluxDB."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from adapters.influxdb.connection import RAW, InfluxConnection
from adapters.influxdb.influxql import Series, before, is_one_of, select, since
from adapters.influxdb.line_protocol import microseconds, moment_of
from adapters.influxdb.raw_readings import MEASUREMENT, METER_TAGS
from domain.telemetry.facility_rollups import LOOK_BACK_S
from domain.telemetry.load_history import MeterPowers
from domain.time_series.windows import TimeWindow


class InfluxMeterPowers:
    def __init__(self, connection: InfluxConnection) -> None:
        self._influx = connection

    def meter_powers(self, facility_id: str, window: TimeWindow) -> list[MeterPowers]:
        mine, until = is_one_of("facility_id", [facility_id]), before(window.ends_at)
        a_day = since(window.starts_at - timedelta(days=1))
        look_back = since(window.starts_at - timedelta(seconds=LOOK_BACK_S))
        statements = [
            select("first(revision)", MEASUREMENT, mine, a_day, until, by=METER_TAGS),
            select("last(revision)", MEASUREMENT, mine, a_day, until, by=METER_TAGS),
            select("kw", MEASUREMENT, mine, "kw_counts = true", look_back, until, by=METER_TAGS),
        ]
        first, newest, powers = self._influx.query(RAW, statements)
        first_at, newest_at = _moments(first), _moments(newest)
        rows = {series.tags["meter_id"]: tuple(series.rows("time", "kw")) for series in powers}
        start_us = microseconds(window.starts_at)
        return [
            MeterPowers(
                meter_id,
                first_at[meter_id],
                newest_at[meter_id],
                np.array([(us - start_us) / 1e6 for us, _ in rows.get(meter_id, ())], dtype=np.float64),
                np.array([kw for _, kw in rows.get(meter_id, ())], dtype=np.float64),
            )
            for meter_id in sorted(first_at.keys() & newest_at.keys())
        ]


def _moments(result: tuple[Series, ...]) -> dict[str, datetime]:
    return {series.tags["meter_id"]: moment_of(us) for series in result for (us,) in series.rows("time")}
