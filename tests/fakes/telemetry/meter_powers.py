"""Meter powers over the fake store's readings; they pass the contract suite of the real ones."""

from datetime import timedelta

import numpy as np

from domain.telemetry.facility_rollups import LOOK_BACK_S
from domain.telemetry.load_history import MeterPowers
from domain.telemetry.meter_reading import UNUSABLE
from domain.time_series.windows import TimeWindow
from tests.fakes.telemetry.store import FakeTelemetryStore


class FakeMeterPowers:
    def __init__(self, store: FakeTelemetryStore) -> None:
        self.store = store

    def meter_powers(self, facility_id: str, window: TimeWindow) -> list[MeterPowers]:
        self.store.position(0)  # raises while the store is unavailable
        present = [
            r
            for r in sorted(self.store.readings.values(), key=lambda r: r.ts)
            if r.facility_id == facility_id and window.starts_at - timedelta(days=1) <= r.ts < window.ends_at
        ]
        found = []
        for meter_id in sorted({r.meter_id for r in present}):
            mine = [r for r in present if r.meter_id == meter_id]
            usable = [
                ((r.ts - window.starts_at).total_seconds(), r.kw)
                for r in mine
                if r.kw is not None and r.quality not in UNUSABLE
            ]
            near = [(at, kw) for at, kw in usable if at >= -LOOK_BACK_S]
            found.append(
                MeterPowers(
                    meter_id,
                    mine[0].ts,
                    mine[-1].ts,
                    np.array([at for at, _ in near], dtype=np.float64),
                    np.array([kw for _, kw in near], dtype=np.float64),
                )
            )
        return found
