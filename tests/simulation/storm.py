"""One seed from beginning to end: the world is set up, the storm blows, everything comes to rest or does not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from uuid import UUID

from msgspec.structs import replace

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.dispatch.time_limits import TIME_LIMITS
from application.handlers import HANDLERS
from application.ports.dispatch.work_queue import WorkQueueUnavailable
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.operations.unavailable import OperationsUnavailable
from domain.dispatch import Dispatch
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.journal import JournalEntry
from projections.queries.views import ReadModelsUnavailable
from tests.simulation.doubles.bms_network import BmsNetwork, SimulatedBms
from tests.simulation.doubles.building_control import BmsAdapter
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Database
from tests.simulation.doubles.forecasts import SimulatedForecasts
from tests.simulation.doubles.meters import SimulatedMeters
from tests.simulation.doubles.simulated_queue import SimulatedWorkQueue
from tests.simulation.doubles.utility_notifier import SimulatedUtilityNotifier
from tests.simulation.doubles.work_queue import MemoryWorkQueue
from tests.simulation.event_trace import Story
from tests.simulation.evidence import Evidence
from tests.simulation.isolation import logs_into, own_chance
from tests.simulation.planted.bugs import NoBug
from tests.simulation.runtime.processes import Process, Supervisor
from tests.simulation.runtime.virtual_loop import VirtualLoop
from tests.simulation.scenario.actors import Outside
from tests.simulation.scenario.fault_injection import Mishaps
from tests.simulation.scenario.fault_schedule import Fate
from tests.simulation.scenario.plan import StormPlan
from tests.simulation.workers import Wiring

LOOK_S = 20.0
"""How often it is looked whether everything is at rest, clock seconds."""
PATIENCE_S = 2_700.0
"""How long after the calm everything may take to come to rest."""
FORESEEN = (EventStoreUnavailable, OperationsUnavailable, WorkQueueUnavailable, ReadModelsUnavailable)
"""What may end a worker: its supervisor starts it again."""
SETTING_UP = CommandContext(
    correlation_id=UUID(int=1),
    causation_id=UUID(int=1),
    actor="operator:simulated",
    tenant=None,
    trace_id="0" * 32,
)


@dataclass(frozen=True)
class StormOutcome:
    evidence: Evidence
    story: Story
    struck: dict[str, int]


def run_storm(plan: StormPlan, bug: NoBug | None = None, *, adapter: BmsAdapter) -> StormOutcome:
    """Simulate `plan`, with a planted bug if there is one; the same plan gives the same outcome."""
    loop = VirtualLoop(plan.seed)
    storm = Storm(plan, bug or NoBug(), loop, adapter)
    with own_chance(plan.seed), logs_into(storm.story):
        try:
            evidence = loop.run_until_complete(storm.run())
        finally:
            loop.wind_up()
    return StormOutcome(evidence, storm.story, dict(sorted(storm.mishaps.struck.items())))


class Storm:
    """The world of one seed."""

    def __init__(
        self,
        plan: StormPlan,
        bug: NoBug,
        loop: VirtualLoop,
        adapter: BmsAdapter,
    ) -> None:
        self.plan, self.loop = plan, loop
        self.clock = clock = VirtualClock(plan.epoch, plan.speed, loop=loop)
        self.story = Story(clock.now)
        self.journal: list[JournalEntry] = []
        self.errors: list[str] = []
        self.mishaps = Mishaps(self._chance("mishaps"), plan.rates, self.story)
        self.buildings = {
            entry.facility_id: Building.of(entry, record=self._done) for entry in plan.facilities
        }
        self.database = Database(self.mishaps, clock.wall_seconds)
        load_kw = {entry.facility_id: 400.0 for entry in plan.facilities}
        self.network = BmsNetwork(self._bms(), clock, self.mishaps, self._chance("network"))
        self.wiring = Wiring(
            plan=plan,
            database=self.database,
            queue=SimulatedWorkQueue(
                MemoryWorkQueue(clock.wall_seconds(TIME_LIMITS.redelivery_s)), self.mishaps
            ),
            control=lambda: bug.adapter(adapter).control(self.network, clock, self._breaker_changed),
            notifier=SimulatedUtilityNotifier(clock, self.mishaps, self._chance("utility")),
            forecasts=SimulatedForecasts(load_kw, plan.forecasts),
            meters=SimulatedMeters(load_kw, plan.epoch),
            mishaps=self.mishaps,
            bug=bug,
            chance=self._chance("workers"),
        )

    async def run(self) -> Evidence:
        outside_process = Process("web", 1)
        bus = self.wiring.bus(outside_process)
        self._set_up()
        supervisor = Supervisor(
            self._chance("supervisor"),
            self.clock.wall_seconds,
            died=self._died,
            storming=lambda: not self.mishaps.calm,
            longest_skew_s=self.plan.skew_s,
        )
        fate = Fate(
            self.plan,
            self.clock,
            self.mishaps,
            self.database,
            self.wiring.queue,
            self.wiring.notifier,
            supervisor,
            self.buildings,
        )
        outside = Outside(self.plan, bus, self.clock, self.database, self.story, self._chance("outside"))
        supervisor.start(self.wiring.roles())
        parts = [
            *fate.parts(),
            *outside.parts(),
            self.wiring.meters.run(self.buildings, self.clock, self.mishaps),
        ]
        for part in parts:
            self.loop.create_task(part).add_done_callback(self._note_failure)
        came_to_rest = await self._rest(outside)
        return self._evidence(fate, came_to_rest=came_to_rest)

    def _set_up(self) -> None:
        """The portfolio is known before the storm: nothing fails here."""
        plain = CommandBus(self.database.events, self.clock, HANDLERS, forecasts=self.wiring.forecasts)
        for program in self.plan.programs:
            plain.handle(AgreeProgram(entry=program), SETTING_UP)
        for facility in self.plan.facilities:
            plain.handle(RegisterFacility(entry=facility), SETTING_UP)

    async def _rest(self, outside: Outside) -> bool:
        """Wait for the calm, then until nothing is left to do; False if patience ends first."""
        await asyncio.sleep(self.clock.wall_seconds(self.plan.calm_at_s))
        until = self.clock.now() + timedelta(seconds=PATIENCE_S)
        while not self._is_at_rest(outside):
            if self.clock.now() >= until:
                return False
            await asyncio.sleep(self.clock.wall_seconds(LOOK_S))
        return True

    def _is_at_rest(self, outside: Outside) -> bool:
        head = self.database.events.head()
        models = self.database.read_models.rows
        return (
            outside.open_wishes == 0
            and self.database.positions.position("relay") == head
            and all(rows.position == head for rows in models.values())
            and not models["deadlines"].by_key
            and not any(self.wiring.queue.queue.waiting.values())
            and all(
                aggregate.state.is_final and aggregate.state.status != "restore_failed"
                for aggregate in self.database.events.newest.values()
                if isinstance(aggregate, Dispatch)
            )
        )

    def _evidence(self, fate: Fate, *, came_to_rest: bool) -> Evidence:
        now = self.clock.now()
        for building in self.buildings.values():
            building.advance(now)
        return Evidence(
            plan=self.plan,
            entries=tuple(self.database.events.read_after(0, self.database.events.head())),
            stored=tuple(self.database.events.stored),
            aggregates=dict(self.database.events.newest),
            journal=tuple(self.journal),
            calls=tuple(replace(call) for call in self.network.calls),
            received=tuple(self.wiring.notifier.received),
            read_models={name: dict(rows.by_key) for name, rows in self.database.read_models.rows.items()},
            forgotten=frozenset(fate.forgotten),
            errors=_counted([*self.errors, *map(repr, self.loop.faults)]),
            locks_were_lost=fate.locks_were_lost,
            calm_at=self.plan.epoch + timedelta(seconds=self.plan.calm_at_s),
            ended_at=now,
            came_to_rest=came_to_rest,
        )

    def _note_failure(self, part: asyncio.Task[None]) -> None:
        if not part.cancelled() and (error := part.exception()) is not None:
            self.errors.append(f"the simulation itself: {error!r}")

    def _bms(self) -> dict[str, SimulatedBms]:
        return {
            entry.facility_id: SimulatedBms(
                self.buildings[entry.facility_id],
                deduplicates=entry.bms.profile == "two_phase",
                fault_rates=self.plan.bms_faults[entry.facility_id],
                slow_s=self.plan.slow_s[entry.facility_id],
            )
            for entry in self.plan.facilities
        }

    def _done(self, entry: JournalEntry) -> None:
        self.journal.append(entry)
        self.story.note("building", f"{entry.facility_id}/{entry.zone_id} {entry.action}")

    def _breaker_changed(self, facility_id: str, state: str) -> None:
        self.story.note("breaker", f"of {facility_id} is {state}")

    def _died(self, process: Process) -> None:
        self.database.locks.free_all(process)
        error = process.error
        self.story.note(
            "process", f"{process.name} ended: {error!r}" if error else f"{process.name} was killed"
        )
        if error is not None and not isinstance(error, FORESEEN):
            self.errors.append(f"{process.name.partition('-')[0]}: {error!r}")

    def _chance(self, part: str) -> Random:
        return Random(f"{self.plan.seed}:{part}")


def _counted(errors: Iterable[str]) -> tuple[str, ...]:
    """Each once, with how often it came."""
    return tuple(f"{error} ({times} times)" for error, times in Counter(errors).items())
