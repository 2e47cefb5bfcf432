"""Meters with stored readings in InfluxDB. InfluxDB 3 cannot delete rows, so readings of one meter are not removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from adapters.influxdb.connection import InfluxConnection
from adapters.influxdb.raw_readings import last_values, newest_by_meter
from application.ports.telemetry.stored_meters import (
    ReadingRemoval,
    RemovalNotSupported,
    StoredExtent,
    StoredMeter,
)
from domain.telemetry.intervals import RETIRED_AFTER


class InfluxStoredMeters:
    def __init__(self, connection: InfluxConnection) -> None:
        self._influx = connection

    def meters(self, facility_id: str) -> list[StoredMeter]:
        newest = newest_by_meter(self._influx, [facility_id]).get(facility_id, {})
        if not newest:
            return []
        powers, registers = last_values(self._influx, [facility_id], min(newest.values()) - RETIRED_AFTER)
        return [
            StoredMeter(
                meter_id=meter_id,
                newest_reading_at=newest[meter_id],
                kw=powers[facility_id, meter_id][1] if (facility_id, meter_id) in powers else None,
                kwh_total=registers[facility_id, meter_id][1]
                if (facility_id, meter_id) in registers
                else None,
            )
            for meter_id in sorted(newest)
        ]

    def extent(self, facility_id: str, meter_id: str) -> StoredExtent | None:
        _refuse(facility_id, meter_id)

    def remove(self, removal: ReadingRemoval) -> int:
        _refuse(removal.facility_id, removal.meter_id)

    def removals(self, facility_id: str) -> Sequence[ReadingRemoval]:
        return ()


def _refuse(facility_id: str, meter_id: str) -> NoReturn:
    raise RemovalNotSupported(
        f"readings in InfluxDB are removed with its own tools: those of `readings` with facility_id {facility_id} and "
        f"meter_id {meter_id}; quarter-hours that were finalized with them stay as they are"
    )
