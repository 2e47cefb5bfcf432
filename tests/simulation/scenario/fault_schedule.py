"""What the plan has in store: servers go away and come back, processes are killed and stopped, BMSs start anew."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from interfaces.simulators.bms.building import Building
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Database
from tests.simulation.doubles.simulated_queue import SimulatedWorkQueue
from tests.simulation.doubles.utility_notifier import SimulatedUtilityNotifier
from tests.simulation.runtime.processes import Supervisor
from tests.simulation.scenario.fault_injection import Mishaps
from tests.simulation.scenario.plan import Blow, Outage, StormPlan

WARM_C = 26.0


@dataclass
class Fate:
    plan: StormPlan
    clock: VirtualClock
    mishaps: Mishaps
    database: Database
    queue: SimulatedWorkQueue
    notifier: SimulatedUtilityNotifier
    supervisor: Supervisor
    buildings: dict[str, Building]
    forgotten: set[UUID] = field(default_factory=set)
    locks_were_lost: bool = False

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        plan = self.plan
        return [
            self._calm(),
            *(self._outage(outage) for outage in plan.outages),
            *(self._blow(blow) for blow in plan.blows),
            *(self._restart(at_s, facility_id) for at_s, facility_id in plan.restarts),
            *(self._override(at_s, facility_id) for at_s, facility_id in plan.overrides),
            self._drop_locks(),
        ]

    async def _calm(self) -> None:
        await self._pass(self.plan.calm_at_s)
        self.mishaps.calm = True
        self.mishaps.story.note("fate", "from here on nothing fails any more")

    async def _outage(self, outage: Outage) -> None:
        await self._pass(outage.at_s)
        self.mishaps.strike("outage", f"{outage.what} for {outage.for_s:g} s")
        self._switch(outage, away=True)
        await self._pass(min(outage.for_s, max(0.0, self.plan.calm_at_s - outage.at_s)))
        self._switch(outage, away=False)

    def _switch(self, outage: Outage, *, away: bool) -> None:
        if outage.what == "utility":
            self.notifier.away = away
        elif outage.what == "broker":
            self.queue.down = away
            if not away:
                self.queue.queue.forget_ids()
        elif away:
            self.database.go_down(loses_locks=self.plan.deduplicates)
            self.locks_were_lost |= self.plan.deduplicates
        else:
            self.database.down = False
            self.database.tell_readers()

    async def _blow(self, blow: Blow) -> None:
        await self._pass(blow.at_s)
        if blow.for_s is None:
            if self.supervisor.kill(blow.worker):
                self.mishaps.strike("process.killed", blow.worker)
            return
        self.mishaps.strike("process.stopped", f"{blow.worker} for {blow.for_s:g} s")
        self.supervisor.freeze(blow.worker, blow.for_s)

    async def _restart(self, at_s: float, facility_id: str) -> None:
        await self._pass(at_s)
        self.mishaps.strike("bms.starts_anew", facility_id)
        self.forgotten |= self.buildings[facility_id].restart(self.clock.now())

    async def _override(self, at_s: float, facility_id: str) -> None:
        await self._pass(at_s)
        zone_id = next(
            z.zone_id for e in self.plan.facilities if e.facility_id == facility_id for z in e.zones
        )
        self.mishaps.strike("building.overridden", f"{facility_id}/{zone_id}")
        self.buildings[facility_id].override(zone_id, WARM_C, self.clock.now())

    async def _drop_locks(self) -> None:
        """Now and then a session of the database is lost, and its process does not notice."""
        while True:
            await self._pass(30.0)
            if self.mishaps.strikes("database.drops_locks") and self.database.locks.held_by:
                name = self.mishaps.chance.choice(sorted(self.database.locks.held_by))
                self.locks_were_lost = True
                self.database.locks.free_all(self.database.locks.held_by[name].process)

    async def _pass(self, clock_s: float) -> None:
        await asyncio.sleep(self.clock.wall_seconds(clock_s))
