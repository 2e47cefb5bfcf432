"""Single readings of the fake store; they pass the contract suite of the real ones."""

from domain.telemetry.reading_arrays import MeterReadings
from domain.telemetry.reading_block import columns_of_meter
from domain.time_series.windows import TimeWindow
from tests.fakes.telemetry.store import FakeTelemetryStore


class FakeMeterReadings:
    def __init__(self, store: FakeTelemetryStore) -> None:
        self.store = store

    def meter_readings(self, facility_id: str, window: TimeWindow) -> list[MeterReadings]:
        self.store.position(0)  # raises while the store is unavailable
        found = sorted(
            (
                r
                for r in self.store.readings.values()
                if r.facility_id == facility_id and window.contains(r.ts)
            ),
            key=lambda r: r.ts,
        )
        return [
            MeterReadings(meter_id, columns_of_meter(r for r in found if r.meter_id == meter_id))
            for meter_id in sorted({r.meter_id for r in found})
        ]
