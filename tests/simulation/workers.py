"""Wires the product's workers over simulated ports: one function per role, as in interfaces.bootstrap.processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from application.callback import CallbackCalls
from application.command_bus.batching import CommandBatcher
from application.command_bus.bus import CommandBus
from application.dispatch.execution.executor import DispatchExecutor
from application.dispatch.time_limits import TIME_LIMITS
from application.operations.clock_monitor import ClockMonitor, DecisionClock, SkewAlert, measure_skew
from application.ports.clock import Clock
from application.ports.dispatch.call_slots import CallSlots
from interfaces.workers.compute import measure
from interfaces.workers.decide.deadlines import Schedule
from interfaces.workers.dispatch.dispatch import CHECKS_IN_HAND, COMMANDS_IN_HAND
from interfaces.workers.dispatch.reconcile import Reconciler
from interfaces.workers.watch.blocked_dispatch_review import BlockedDispatchReview
from interfaces.workers.watch.forecast_monitor import ForecastMonitor
from interfaces.workers.watch.notify import NotifyWorker
from tests.fakes.callback import FakeCallbackAddresses
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.fakes.public_holidays import FakePublicHolidays
from tests.simulation.doubles.building_control import SimulatedBuildingControl
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Database, Session
from tests.simulation.doubles.defects import Defects
from tests.simulation.doubles.forecasts import SimulatedForecasts
from tests.simulation.doubles.meters import SimulatedMeters
from tests.simulation.doubles.utility_notifier import SimulatedUtilityNotifier
from tests.simulation.planted.no_bug import NoBug
from tests.simulation.runtime.processes import Process, Role
from tests.simulation.runtime.virtual_loop import Killed
from tests.simulation.scenario.fault_injection import FaultInjector
from tests.simulation.scenario.few_places import Places
from tests.simulation.scenario.plan import FREEZES_S, WORKERS, StormPlan

PROJECTION_BATCH = 40
LOOKS_AGAIN_AFTER_S = 1.0
PLACES = Places(commands=COMMANDS_IN_HAND, checks=CHECKS_IN_HAND)


@dataclass
class Wiring:
    """Everything that the workers of one storm share."""

    plan: StormPlan
    database: Database
    control: Callable[[CallSlots], SimulatedBuildingControl]
    """Makes the control of one process; each has its own breakers."""
    notifier: SimulatedUtilityNotifier
    forecasts: SimulatedForecasts
    meters: SimulatedMeters
    injector: FaultInjector
    defects: Defects
    bug: NoBug
    rng: Random
    clocks_ahead: dict[str, float] = field(default_factory=dict)
    """Process -> the wall seconds by which the clock of its machine is ahead at present."""
    _monitors: dict[Process, ClockMonitor] = field(default_factory=dict)

    def roles(self) -> list[Role]:
        runs: dict[str, Callable[[Process], Any]] = {
            "relay": self._relay,
            "schedule": self._schedule,
            "dispatch": self._dispatch,
            "notify": self._notify,
            "measure": self._measure,
            "reconcile": self._reconcile,
            "project": self._project,
        }
        return [Role(name, runs[name.partition("-")[0]]) for name in WORKERS]

    def session(self, process: Process) -> Session:
        return Session(self.database, process)

    def clock(self, process: Process) -> VirtualClock:
        ahead_wall_s = partial(self._ahead_wall_s, process.name) if self.plan.clocks_ahead else None
        return VirtualClock(self.plan.epoch, self.plan.speed, process.skew_s, ahead_wall_s=ahead_wall_s)

    def _ahead_wall_s(self, name: str) -> float:
        return self.clocks_ahead.get(name, 0.0)

    def decision_clock(self, process: Process) -> Clock:
        """For whatever records a decision: while it is wrong, the process decides nothing."""
        clock = self.clock(process)
        return self.bug.decision_clock(DecisionClock(clock, self._monitor(process)), clock)

    def _monitor(self, process: Process) -> ClockMonitor:
        """As in interfaces.bootstrap.clock, but measured only where a decision is made."""
        if process not in self._monitors:
            clock = self.clock(process)
            self._monitors[process] = ClockMonitor(
                lambda: measure_skew(
                    self.database.machine_now, wall_now=clock.machine_now, monotonic=loop_time
                ),
                SkewAlert(self.database.alerts, clock, process.name, process.name),
                monotonic=loop_time,
            )
        return self._monitors[process]

    def bus(self, process: Process, store: Any = None) -> CommandBus:
        return self.bug.bus()(
            store or self.session(process),
            self.decision_clock(process),
            self.defects.handlers(self.bug.handlers()),
            forecasts=self.forecasts,
            command_sla_s=self.plan.command_sla_s,
            draw_s=lambda most_s: self.rng.randint(0, most_s),
        )

    def locks(self, process: Process) -> Any:
        return self.bug.locks(FakeLocks(self.database.locks, process))

    def failpoint(self, process: Process) -> Callable[[str, str], None]:
        def reached(name: str, in_flight: str) -> None:
            if self.injector.strikes("process.dies_at_failpoint", f"{process.name} at {name}: {in_flight}"):
                process.kill()
                raise Killed
            if self.injector.strikes(
                "process.freezes_at_failpoint", f"{process.name} at {name}: {in_flight}"
            ):
                process.freeze(self.clock(process).wall_seconds(FREEZES_S))

        return reached

    async def _relay(self, process: Process) -> None:
        session = self.session(process)
        relay = self.bug.relay()(
            event_log=session,
            positions=self.bug.positions(session.positions, session),
            commands=CommandBatcher(self.bus(process)),
            locks=self.locks(process),
            signal=self.database,
            reached=self.failpoint(process),
            dead_letters=session.dead_letters,
            clock=self.clock(process),
            saga=self.bug.saga(),
        )
        await relay.run(asyncio.Event())

    async def _schedule(self, process: Process) -> None:
        session = self.session(process)
        schedule = Schedule(
            due=self.bug.due(session.deadlines.due),
            plans_due=session.deadlines.due,
            bus=self.bus(process),
            clock=self.clock(process),
            locks=self.locks(process),
            reached=self.failpoint(process),
            alerts=self.session(process).alerts,
        )
        await asyncio.gather(
            schedule.run(asyncio.Event()),
            self._forecast_monitor(process, session).periodic.run(asyncio.Event(), self.locks(process)),
        )

    def _forecast_monitor(self, process: Process, session: Session) -> ForecastMonitor:
        clock = self.clock(process)
        review = BlockedDispatchReview(
            session.view("dispatches"), self.forecasts, self.bus(process), clock, self.failpoint(process)
        )
        return ForecastMonitor(
            dr_events=session.view("dr_events"),
            facilities=session.view("facilities"),
            review=review,
            book=self.forecasts,
            alerts=session.alerts,
            clock=clock,
        )

    async def _dispatch(self, process: Process) -> None:
        session = self.session(process)
        store = self.bug.store(session)
        wait_s = self.clock(process).wall_seconds(TIME_LIMITS.check_wait_s)
        slots = FakeCallSlots(check_wait_s=wait_s)
        calls = DispatchExecutor(
            store=store,
            commands=CommandBatcher(self.bus(process, store)),
            control=self.bug.control(self.defects.control(self.control(slots)), self.clock(process)),
            clock=self.decision_clock(process),
            dead_letters=session.dead_letters,
            alerts=session.alerts,
            reached=self.failpoint(process),
            confirm_clock=self._monitor(process).confirm,
            curtailed=session.curtailed,
        )
        places = self.plan.places or PLACES
        worker = self.bug.dispatch_worker()(
            rows=session.open_work,
            holder=session.work_holder(),
            signal=self.database,
            event_log=session,
            calls=calls,
            locks=self.locks(process),
            commands_in_hand=places.commands,
            checks_in_hand=places.checks,
        )
        await worker.run(asyncio.Event())

    async def _notify(self, process: Process) -> None:
        session = self.session(process)
        calls = CallbackCalls(
            store=self.bug.store(session),
            event_log=session,
            rows=session.open_work,
            bus=self.bus(process),
            notifier=self.bug.notifier(self.defects.notifier(self.notifier)),
            addresses=FakeCallbackAddresses(),
            clock=self.clock(process),
            reached=self.failpoint(process),
        )
        worker = NotifyWorker(
            rows=session.open_work,
            holder=session.work_holder(),
            signal=self.database,
            event_log=session,
            calls=calls,
        )
        await worker.run(asyncio.Event())

    async def _measure(self, process: Process) -> None:
        session = self.session(process)
        measuring = measure.Measuring(
            public_holidays=FakePublicHolidays(),
            due=session.deadlines.due,
            store=session,
            telemetry=self.meters,  # type: ignore[arg-type] # measuring uses two of its methods
            bus=self.bus(process),
            clock=self.clock(process),
            alerts=self.session(process).alerts,
        )
        await measure.run(measuring=measuring, locks=self.locks(process), stop=asyncio.Event())

    async def _reconcile(self, process: Process) -> None:
        session = self.session(process)
        reconciler = Reconciler(
            curtailed=session.curtailed,
            rows=session.open_work,
            clock=self.clock(process),
            locks=self.locks(process),
        )
        await reconciler.run(asyncio.Event())

    async def _project(self, process: Process) -> None:
        """Fold each read model at its own pace; rows and position change in one transaction."""
        models = self.database.read_models
        while True:
            behind = [
                name for name, rows in models.rows.items() if rows.position < self.database.events.head()
            ]
            if not behind or self.database.down:
                await self.database.wait(LOOKS_AGAIN_AFTER_S)
            for name in behind:
                if not self.database.down and self.rng.random() < 0.8:
                    batch = 1 + int(self.rng.random() * PROJECTION_BATCH)
                    rows = models.rows[name]
                    rows.fold(self.database.events.read_after(rows.position, batch))
            await asyncio.sleep(self.rng.random() * 0.05)


def loop_time() -> float:
    return asyncio.get_running_loop().time()
