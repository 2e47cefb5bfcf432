"""Meters with stored readings of the fake store; they pass the contract suite of PostgreSQL's."""

from collections.abc import Sequence

from application.ports.telemetry.stored_meters import ReadingRemoval, StoredExtent, StoredMeter
from tests.fakes.telemetry.store import FakeTelemetryStore


class FakeStoredMeters:
    def __init__(self, store: FakeTelemetryStore) -> None:
        self.store = store
        self.recorded: list[ReadingRemoval] = []

    def meters(self, facility_id: str) -> list[StoredMeter]:
        self.store.position(0)  # raises while the store is unavailable
        names = sorted({r.meter_id for r in self.store.readings.values() if r.facility_id == facility_id})
        return [self._meter(facility_id, name) for name in names]

    def _meter(self, facility_id: str, meter_id: str) -> StoredMeter:
        mine = sorted(
            (
                r
                for r in self.store.readings.values()
                if (r.facility_id, r.meter_id) == (facility_id, meter_id)
            ),
            key=lambda r: r.ts,
        )
        powers = [r.kw for r in mine if r.kw is not None]
        registers = [r.kwh_total for r in mine if r.kwh_total is not None]
        return StoredMeter(
            meter_id=meter_id,
            newest_reading_at=mine[-1].ts,
            kw=powers[-1] if powers else None,
            kwh_total=registers[-1] if registers else None,
        )

    def extent(self, facility_id: str, meter_id: str) -> StoredExtent | None:
        self.store.position(0)
        mine = [
            r.ts
            for r in self.store.readings.values()
            if (r.facility_id, r.meter_id) == (facility_id, meter_id)
        ]
        return StoredExtent(readings=len(mine), first_at=min(mine), newest_at=max(mine)) if mine else None

    def remove(self, removal: ReadingRemoval) -> int:
        self.recorded.append(removal)
        return self.store.remove_meter(removal.facility_id, removal.meter_id)

    def removals(self, facility_id: str) -> Sequence[ReadingRemoval]:
        return [one for one in reversed(self.recorded) if one.facility_id == facility_id]
