"""Single readings of a facility's meters from InfluxDB."""

from __future__ import annotations

from adapters.influxdb.connection import InfluxConnection
from adapters.influxdb.raw_readings import readings_within
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_arrays import MeterReadings
from domain.telemetry.reading_block import columns_of_meter
from domain.time_series.windows import TimeWindow


class InfluxMeterReadings:
    def __init__(self, connection: InfluxConnection) -> None:
        self._influx = connection

    def meter_readings(self, facility_id: str, window: TimeWindow) -> list[MeterReadings]:
        found: dict[str, list[MeterReading]] = {}
        for reading in readings_within(self._influx, facility_id, window):
            found.setdefault(reading.meter_id, []).append(reading)
        return [MeterReadings(meter_id, columns_of_meter(found[meter_id])) for meter_id in sorted(found)]
