"""Simulated meters: the load of each building by quarter-hour, as in the telemetry store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from application.ports.clock import Clock
from domain.telemetry.intervals import INTERVAL, INTERVAL_S, interval_start
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import TimeWindow
from interfaces.simulators.bms.building import Building
from tests.simulation.scenario.fault_injection import FaultInjector

EVERY_S = 60.0
"""Clock seconds between two readings."""


@dataclass
class SimulatedMeters:
    """The methods of TelemetryStore that measuring uses. Before the epoch every building had its base load."""

    base_kw: Mapping[str, float]
    epoch: datetime
    newest: dict[str, datetime] = field(default_factory=dict)
    _read: dict[tuple[str, datetime], list[float]] = field(default_factory=dict)

    async def run(self, buildings: Mapping[str, Building], clock: Clock, injector: FaultInjector) -> None:
        """Read each meter periodically; a silent one leaves a gap."""
        while True:
            now = clock.now()
            for facility_id, building in buildings.items():
                if not injector.strikes("meter.is_silent", facility_id):
                    drawn_kw = self.base_kw[facility_id] - building.shed_kw(now)
                    self._read.setdefault((facility_id, interval_start(now)), []).append(drawn_kw)
                    self.newest[facility_id] = now
            await asyncio.sleep(clock.wall_seconds(EVERY_S))

    def newest_readings_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        return {i: self.newest[i] for i in facility_ids if i in self.newest}

    def interval_series_of(
        self, facility_ids: Sequence[str], window: TimeWindow, step_s: int = INTERVAL_S
    ) -> IntervalBlock:
        """Quarter-hours only."""
        steps = int((window.ends_at - window.starts_at).total_seconds()) // step_s
        before_epoch = min(steps, int((self.epoch - window.starts_at) / timedelta(seconds=step_s)))
        mean_kw = np.full((len(facility_ids), steps), np.nan)
        for row, facility_id in enumerate(facility_ids):
            mean_kw[row, : max(0, before_epoch)] = self.base_kw[facility_id]
            for step in range(max(0, before_epoch), steps):
                readings = self._read.get((facility_id, window.starts_at + step * INTERVAL))
                if readings:
                    mean_kw[row, step] = sum(readings) / len(readings)
        return IntervalBlock(
            facility_ids=tuple(facility_ids),
            starts_at=window.starts_at,
            step_s=step_s,
            mean_kw=mean_kw,
            temp_c=np.full(mean_kw.shape, np.nan),
            coverage_pct=np.where(np.isnan(mean_kw), 0.0, 100.0),
            expanded=np.zeros(mean_kw.shape, dtype=np.bool_),
        )
