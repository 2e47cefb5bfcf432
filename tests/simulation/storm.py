"""Runs one seed: setup, faults, and the wait until the system is idle."""

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
from application.handlers import HANDLERS
from application.ports.dispatch.call_slots import CallSlots
from application.ports.dispatch.open_work import OpenWorkUnavailable
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.operations.unavailable import OperationsUnavailable
from domain.dispatch import Dispatch
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.journal import JournalEntry
from projections.queries.views import ReadModelsUnavailable
from tests.simulation.doubles.bms_network import BmsNetwork, GuardedNetwork, SimulatedBms
from tests.simulation.doubles.building_control import SimulatedBuildingControl
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Database
from tests.simulation.doubles.defects import Defects
from tests.simulation.doubles.forecasts import SimulatedForecasts
from tests.simulation.doubles.meters import SimulatedMeters
from tests.simulation.doubles.utility_notifier import SimulatedUtilityNotifier
from tests.simulation.event_trace import EventTrace
from tests.simulation.evidence import Evidence
from tests.simulation.isolation import logs_to_trace, seeded_random
from tests.simulation.planted.no_bug import NoBug
from tests.simulation.runtime.processes import Process, Supervisor
from tests.simulation.runtime.virtual_loop import VirtualLoop
from tests.simulation.scenario.actors import OutsideActors
from tests.simulation.scenario.dead_letter_operator import DeadLetterOperator
from tests.simulation.scenario.fault_injection import FaultInjector
from tests.simulation.scenario.fault_schedule import FaultSchedule
from tests.simulation.scenario.hostile_utility import HOSTILE
from tests.simulation.scenario.plan import StormPlan
from tests.simulation.workers import Wiring

POLL_S = 20.0
"""Clock seconds between two checks whether the system is idle."""
IDLE_WITHIN_S = 2_700.0
"""Clock seconds within which the system must become idle after the last fault."""
EXPECTED_ERRORS = (
    EventStoreUnavailable,
    OpenWorkUnavailable,
    OperationsUnavailable,
    ReadModelsUnavailable,
)
"""Errors that may end a worker; its supervisor restarts it."""
SETUP_CONTEXT = CommandContext(
    correlation_id=UUID(int=1),
    causation_id=UUID(int=1),
    actor="operator:simulated",
    tenant=None,
    trace_id="0" * 32,
)


@dataclass(frozen=True)
class StormOutcome:
    evidence: Evidence
    trace: EventTrace
    struck: dict[str, int]


def run_storm(plan: StormPlan, bug: NoBug | None = None) -> StormOutcome:
    """Simulate `plan`, with a planted bug if given. The same plan gives the same outcome."""
    loop = VirtualLoop(plan.seed)
    storm = Storm(plan, bug or NoBug(), loop)
    with seeded_random(plan.seed), logs_to_trace(storm.trace):
        try:
            evidence = loop.run_until_complete(storm.run())
        finally:
            loop.close_down()
    return StormOutcome(evidence, storm.trace, dict(sorted(storm.injector.struck.items())))


class Storm:
    """The simulated system of one seed."""

    def __init__(
        self,
        plan: StormPlan,
        bug: NoBug,
        loop: VirtualLoop,
    ) -> None:
        self.plan, self.loop = plan, loop
        self.clock = clock = VirtualClock(plan.epoch, plan.speed, loop=loop)
        self.trace = EventTrace(clock.now)
        self.journal: list[JournalEntry] = []
        self.errors: list[str] = []
        self.injector = FaultInjector(self._rng("mishaps"), plan.rates, self.trace)
        self.buildings = {
            entry.facility_id: Building.of(entry, record=self._done) for entry in plan.facilities
        }
        self.database = Database(self.injector, clock, bug.most_ahead_s, bug.rows())
        load_kw = {entry.facility_id: 400.0 for entry in plan.facilities}
        self.network = BmsNetwork(self._bms(), clock, self.injector, self._rng("network"))
        self.wiring = Wiring(
            plan=plan,
            database=self.database,
            control=self._control,
            notifier=SimulatedUtilityNotifier(
                clock, self.injector, self._rng("utility"), silent=frozenset({HOSTILE})
            ),
            forecasts=SimulatedForecasts(load_kw, plan.forecasts),
            meters=SimulatedMeters(load_kw, plan.epoch),
            injector=self.injector,
            defects=Defects(plan.defects, clock, self.injector),
            bug=bug,
            rng=self._rng("workers"),
        )

    async def run(self) -> Evidence:
        web_process = Process("web", 1)
        bus = self.wiring.bus(web_process)
        self._set_up()
        supervisor = Supervisor(
            self._rng("supervisor"),
            self.clock.wall_seconds,
            died=self._died,
            storming=lambda: not self.injector.is_over,
            longest_skew_s=self.plan.skew_s,
        )
        fault_schedule = FaultSchedule(
            self.plan,
            self.clock,
            self.injector,
            self.database,
            self.wiring.notifier,
            supervisor,
            self.buildings,
            self.wiring.clocks_ahead,
        )
        outside = OutsideActors(self.plan, bus, self.clock, self.database, self.trace, self._rng("outside"))
        operator = DeadLetterOperator(
            self.wiring.session(web_process),
            bus,
            self.clock,
            self.injector,
            self._rng("operator"),
        )
        supervisor.start(self.wiring.roles())
        parts = [
            *fault_schedule.tasks(),
            *outside.tasks(),
            self.wiring.meters.run(self.buildings, self.clock, self.injector),
            *([operator.run()] if self.plan.has_operator_of_dead_letters else []),
        ]
        for part in parts:
            self.loop.create_task(part).add_done_callback(self._note_failure)
        became_idle = await self._wait_until_idle(outside, operator)
        return self._evidence(fault_schedule, became_idle=became_idle)

    def _set_up(self) -> None:
        """Register the portfolio before the first fault."""
        plain = CommandBus(self.database.events, self.clock, HANDLERS, forecasts=self.wiring.forecasts)
        for program in self.plan.programs:
            plain.handle(AgreeProgram(entry=program), SETUP_CONTEXT)
        for facility in self.plan.facilities:
            plain.handle(RegisterFacility(entry=facility), SETUP_CONTEXT)

    async def _wait_until_idle(self, outside: OutsideActors, operator: DeadLetterOperator) -> bool:
        """Wait for the last fault, then until nothing is left to do; False after IDLE_WITHIN_S."""
        await asyncio.sleep(self.clock.wall_seconds(self.plan.faults_end_s))
        until = self.clock.now() + timedelta(seconds=IDLE_WITHIN_S)
        while not self._is_idle(outside, operator):
            if self.clock.now() >= until:
                return False
            await asyncio.sleep(self.clock.wall_seconds(POLL_S))
        return True

    def _is_idle(self, outside: OutsideActors, operator: DeadLetterOperator) -> bool:
        head = self.database.events.head()
        models = self.database.read_models.rows
        return (
            outside.open_requests == 0
            and not (self.plan.has_operator_of_dead_letters and operator.open_letters())
            and self.database.positions.position("relay") == head
            and all(rows.position == head for rows in models.values())
            and not models["deadlines"].by_key
            and not self.database.events.open_work.rows
            and all(
                aggregate.state.is_final and aggregate.state.status != "restore_failed"
                for aggregate in self.database.events.newest.values()
                if isinstance(aggregate, Dispatch)
            )
        )

    def _evidence(self, fault_schedule: FaultSchedule, *, became_idle: bool) -> Evidence:
        now = self.clock.now()
        for building in self.buildings.values():
            building.advance(now)
        return Evidence(
            plan=self.plan,
            entries=tuple(self.database.events.read_after(0, self.database.events.head())),
            stored=tuple(self.database.events.stored),
            saved_at=self.database.saved_at,
            dated_ahead=tuple(self.database.dated_ahead),
            aggregates=dict(self.database.events.newest),
            journal=tuple(self.journal),
            calls=tuple(replace(call) for call in self.network.calls),
            received=tuple(self.wiring.notifier.received),
            tried=tuple(replace(call) for call in self.wiring.notifier.tried),
            read_models={name: dict(rows.by_key) for name, rows in self.database.read_models.rows.items()},
            forgotten=frozenset(fault_schedule.forgotten),
            failures=tuple(self.wiring.defects.failures),
            dead_letters=self.database.dead_letters.listed(status=None, limit=100_000),
            alerts=self.database.alerts.listed(include_cleared=True, limit=100_000),
            moved=tuple(self.database.positions.moved),
            errors=_counted([*self.errors, *map(repr, self.loop.faults)]),
            locks_were_lost=fault_schedule.locks_were_lost,
            faults_end_at=self.plan.epoch + timedelta(seconds=self.plan.faults_end_s),
            ended_at=now,
            became_idle=became_idle,
        )

    def _note_failure(self, part: asyncio.Task[None]) -> None:
        if not part.cancelled() and (error := part.exception()) is not None:
            self.errors.append(f"the simulation itself: {error!r}")

    def _bms(self) -> dict[str, SimulatedBms]:
        return {
            entry.facility_id: SimulatedBms(
                self.buildings[entry.facility_id],
                deduplicates=entry.bms.profile == "two_phase",
                fault_rates={
                    **self.plan.bms_faults[entry.facility_id],
                    "answers_too_much": self.plan.oversize.answers.get(entry.facility_id, 0.0),
                },
                slow_s=self.plan.slow_s[entry.facility_id],
            )
            for entry in self.plan.facilities
        }

    def _done(self, entry: JournalEntry) -> None:
        self.journal.append(entry)
        self.trace.note("building", f"{entry.facility_id}/{entry.zone_id} {entry.action}")

    def _control(self, slots: CallSlots) -> SimulatedBuildingControl:
        """The building control of one process, with its own breakers and the call slots of this process."""
        breakers = self.wiring.bug.breakers()(self.clock, self._breaker_changed)
        return SimulatedBuildingControl(GuardedNetwork(self.network, breakers, slots), self.clock)

    def _breaker_changed(self, facility_id: str, state: str) -> None:
        self.trace.note("breaker", f"of {facility_id} is {state}")

    def _died(self, process: Process) -> None:
        self.database.locks.free_all(process)
        error = process.error
        self.trace.note(
            "process", f"{process.name} ended: {error!r}" if error else f"{process.name} was killed"
        )
        if error is not None and not isinstance(error, EXPECTED_ERRORS):
            self.errors.append(f"{process.name.partition('-')[0]}: {error!r}")

    def _rng(self, part: str) -> Random:
        return Random(f"{self.plan.seed}:{part}")


def _counted(errors: Iterable[str]) -> tuple[str, ...]:
    """Each distinct error once, with its count."""
    return tuple(f"{error} ({times} times)" for error, times in Counter(errors).items())
