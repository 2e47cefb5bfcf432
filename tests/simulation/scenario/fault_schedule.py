"""The planned faults: outages, killed and stopped processes, clocks set ahead, BMSs restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from interfaces.simulators.bms.building import Building
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Database
from tests.simulation.doubles.utility_notifier import SimulatedUtilityNotifier
from tests.simulation.runtime.processes import Supervisor
from tests.simulation.scenario.fault_injection import FaultInjector
from tests.simulation.scenario.plan import ClockFault, Outage, ProcessFault, StormPlan

WARM_C = 26.0


@dataclass
class FaultSchedule:
    plan: StormPlan
    clock: VirtualClock
    injector: FaultInjector
    database: Database
    notifier: SimulatedUtilityNotifier
    supervisor: Supervisor
    buildings: dict[str, Building]
    clocks_ahead: dict[str, float]
    """Process -> the wall seconds by which the clock of its machine is ahead."""
    forgotten: set[UUID] = field(default_factory=set)
    locks_were_lost: bool = False

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        plan = self.plan
        return [
            self._end_faults(),
            *(self._outage(outage) for outage in plan.outages),
            *(self._apply_process_fault(process_fault) for process_fault in plan.process_faults),
            *(self._set_clock_ahead(clock_fault) for clock_fault in plan.clocks_ahead),
            *(self._restart(at_s, facility_id) for at_s, facility_id in plan.restarts),
            *(self._override(at_s, facility_id) for at_s, facility_id in plan.overrides),
            self._drop_locks(),
        ]

    async def _end_faults(self) -> None:
        await self._sleep(self.plan.faults_end_s)
        self.injector.is_over = True
        self.injector.trace.note("schedule", "no faults from here on")

    async def _outage(self, outage: Outage) -> None:
        await self._sleep(outage.at_s)
        self.injector.strike("outage", f"{outage.what} for {outage.for_s:g} s")
        self._switch(outage, away=True)
        await self._sleep(min(outage.for_s, max(0.0, self.plan.faults_end_s - outage.at_s)))
        self._switch(outage, away=False)

    def _switch(self, outage: Outage, *, away: bool) -> None:
        if outage.what == "utility":
            self.notifier.away = away
        elif away:
            self.database.go_down(loses_locks=self.plan.deduplicates)
            self.locks_were_lost |= self.plan.deduplicates
        else:
            self.database.down = False
            self.database.notify_readers()

    async def _apply_process_fault(self, process_fault: ProcessFault) -> None:
        await self._sleep(process_fault.at_s)
        if process_fault.for_s is None:
            if self.supervisor.kill(process_fault.worker):
                self.injector.strike("process.killed", process_fault.worker)
            return
        self.injector.strike("process.stopped", f"{process_fault.worker} for {process_fault.for_s:g} s")
        self.supervisor.freeze(process_fault.worker, process_fault.for_s)

    async def _set_clock_ahead(self, clock_fault: ClockFault) -> None:
        await self._sleep(clock_fault.at_s)
        self.injector.strike("process.clock_ahead", f"{clock_fault.worker} by {clock_fault.ahead_wall_s:g} s")
        self.clocks_ahead[clock_fault.worker] = clock_fault.ahead_wall_s
        await self._sleep(clock_fault.until_s - clock_fault.at_s)
        self.clocks_ahead[clock_fault.worker] = 0.0
        self.injector.trace.note("schedule", f"the clock of {clock_fault.worker} is set")

    async def _restart(self, at_s: float, facility_id: str) -> None:
        await self._sleep(at_s)
        self.injector.strike("bms.starts_anew", facility_id)
        self.forgotten |= self.buildings[facility_id].restart(self.clock.now())

    async def _override(self, at_s: float, facility_id: str) -> None:
        await self._sleep(at_s)
        zone_id = next(
            z.zone_id for e in self.plan.facilities if e.facility_id == facility_id for z in e.zones
        )
        self.injector.strike("building.overridden", f"{facility_id}/{zone_id}")
        self.buildings[facility_id].override(zone_id, WARM_C, self.clock.now())

    async def _drop_locks(self) -> None:
        """At times a database session is lost without its process noticing."""
        while True:
            await self._sleep(30.0)
            if self.injector.strikes("database.drops_locks") and self.database.locks.held_by:
                name = self.injector.rng.choice(sorted(self.database.locks.held_by))
                self.locks_were_lost = True
                self.database.locks.free_all(self.database.locks.held_by[name].process)

    async def _sleep(self, clock_s: float) -> None:
        await asyncio.sleep(self.clock.wall_seconds(clock_s))
