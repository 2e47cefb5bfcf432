"""The write side, the saga, the relay and the dispatch worker in one process over fakes; time stands still.

world = InProcessSystem.accepted("fac-001", "fac-002")
world.until("active")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec

from application.command_bus.batching import CommandBatcher
from application.commands.dispatch import RestoreDispatch
from application.commands.dr_event import EndDREvent, StartDREvent, StartPreparation
from application.dispatch.execution.executor import DispatchExecutor
from application.dispatch.execution.taken_work import taken_work
from application.event_store.open_work import recorded_work
from application.facility.portfolio_entries import FacilityEntry, ZoneEntry
from application.ports.dispatch.requested_work import BmsWork, CallbackWork
from application.ports.failpoints import no_failpoint
from domain.dispatch import CURTAILED, Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState, DREventStatus
from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import dispatch_id
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.workers.decide.relay import Relay
from interfaces.workers.watch.batch_monitor import BatchMonitor
from interfaces.workers.watch.restore_monitor import RestoreMonitor
from projections.dispatch.projection import DispatchRow
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.dispatch.building_control import FakeBuildingControl
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario, given
from tests.open_alerts import look_at_letters
from tests.sample_values import (
    DR_EVENT_ID,
    NOW,
    STARTS_AT,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
)

PREPARE_AT = STARTS_AT - timedelta(minutes=10)
FORECAST_CYCLES = (NOW, *(STARTS_AT + timedelta(minutes=minutes) for minutes in range(-30, 181, 30)))
"""Each has a forecast that is available from its start, so one is always fresh."""
Proposal = StartPreparation | StartDREvent | EndDREvent
PROPOSALS: dict[DREventStatus, type[Proposal]] = {
    "scheduled": StartPreparation,
    "preparing": StartDREvent,
    "active": EndDREvent,
}
"""The proposal of the decide worker in each state."""


class NoSignal:
    async def wait(self, heartbeat_s: float) -> None:
        await asyncio.sleep(0)


@dataclass
class InProcessSystem:
    scenario: Scenario
    entries: tuple[FacilityEntry, ...]
    journal: list[JournalEntry] = field(default_factory=list)
    callbacks: list[CallbackWork] = field(default_factory=list)
    loses: Callable[[BmsWork], bool] = lambda work: False
    """Whether the row of that work is deleted by hand before a worker takes it."""
    position: int = 0
    rows: Any = None
    """The rows of open work; None: of the fake store."""

    def __post_init__(self) -> None:
        self.scenario.clock.speed = 1e6  # back-off costs no wall time
        self.dead_letters, self._alerts = FakeDeadLetters(), FakeAlertRegistry()
        if self.rows is None:
            self.rows = self.scenario.store.open_work
        self._holder = self.rows.new_holder() if isinstance(self.rows, FakeOpenWork) else 1
        self.buildings = {
            entry.facility_id: Building.of(entry, record=self.journal.append) for entry in self.entries
        }
        self.control = FakeBuildingControl(self.buildings.values(), clock=self.scenario.clock)
        self.relay = Relay(
            event_log=self.scenario.store,
            positions=FakeReaderPositions(),
            commands=CommandBatcher(self.scenario.bus),
            locks=FakeLocks(),
            signal=NoSignal(),
            reached=no_failpoint,
            dead_letters=self.dead_letters,
            clock=self.scenario.clock,
        )
        self.calls = DispatchExecutor(
            store=self.scenario.store,
            commands=CommandBatcher(self.scenario.bus),
            control=self.control,
            clock=self.scenario.clock,
            dead_letters=self.dead_letters,
            alerts=self._alerts,
            reached=no_failpoint,
            curtailed=self.curtailed,
        )

    @property
    def alerts(self) -> FakeAlertRegistry:
        """After a look of the monitors that state what follows from the log and from dead letters."""
        clock, models = self.scenario.clock, FakeReadModels(self.scenario.store.read_after(0, 100_000))
        RestoreMonitor(models.dispatches, self._alerts, clock).check()
        BatchMonitor(models.dr_events, models.dispatches, self._alerts, clock).check()
        look_at_letters(self.dead_letters, self._alerts, at=clock.now())
        return self._alerts

    @classmethod
    def accepted(
        cls,
        *facility_ids: str,
        target_kw: float = 100.0,
        degraded: tuple[str, ...] = (),
        terms: dict[str, Any] | None = None,
        zones: tuple[ZoneEntry, ...] = (),
        **notice: Any,
    ) -> Self:
        """A system in which a DR event over those facilities was just accepted, without any consequence yet."""
        there = cls.registered(*facility_ids, degraded=degraded, terms=terms, zones=zones)
        there.scenario.after(judge(facility_ids=facility_ids, target_kw=target_kw, **notice))
        return there

    @classmethod
    def registered(
        cls,
        *facility_ids: str,
        degraded: tuple[str, ...] = (),
        terms: dict[str, Any] | None = None,
        zones: tuple[ZoneEntry, ...] = (),
    ) -> Self:
        """A system with those facilities and their forecasts, without a DR event."""
        changes = {"zones": zones} if zones else {}
        entries = tuple(facility_entry(facility_id, **changes) for facility_id in facility_ids)
        scenario = given().after(*portfolio_commands(*entries, **(terms or {})))
        for cycle in FORECAST_CYCLES:
            scenario.with_forecasts(*(forecast(i, at=cycle, degraded=i in degraded) for i in facility_ids))
        return cls(scenario, entries)

    @property
    def dr_event(self) -> DREventState:
        return self.scenario.store.load(DREvent, DR_EVENT_ID).state

    def dispatch(self, facility_id: str = "fac-001") -> DispatchState:
        return self.scenario.store.load(Dispatch, dispatch_id(DR_EVENT_ID, facility_id)).state

    def curtailed(self, facility_id: str | None = None) -> list[DispatchRow]:
        """The dispatches whose buildings are curtailed now: all, or those of one building."""
        rows = FakeReadModels(self.scenario.store.read_after(0, 100_000)).rows["dispatches"].by_key.values()
        return [row for row in rows if row.status in CURTAILED and facility_id in {None, row.facility_id}]

    def recorded(self, kind: type[Any] = DomainEvent) -> list[Any]:
        return [e for e in self.scenario.store.domain_events if isinstance(e, kind)]

    def actions(self) -> list[tuple[str, str]]:
        """(facility, action) in the order in which the buildings executed them."""
        return [(entry.facility_id, entry.action) for entry in self.journal]

    def until(self, status: DREventStatus) -> Self:
        """Advance time until the DR event is in that state and all consequences are executed."""
        self.settle()
        while self.dr_event.status != status:
            if self.dr_event.status == "recovering":
                self.restore_next()
                continue
            proposal = PROPOSALS[self.dr_event.status]
            self.scenario.at(max(self._due_at(), self.scenario.clock.now()))
            self.do(proposal(dr_event_id=DR_EVENT_ID))
        return self

    def _due_at(self) -> datetime:
        state = self.dr_event
        notice = state.judged_notice
        due = {"scheduled": state.prepare_at, "preparing": notice.starts_at, "active": notice.ends_at}
        return due[state.status] or notice.starts_at

    def restore_next(self) -> Self:
        """Advance time to the next restore of a waiting zone. Raises ValueError if there is none."""
        waiting = {
            i: min(step.not_before for step in self.dispatch(i).restore_steps)
            for i in self.dr_event.dispatched
            if self.dispatch(i).restore_steps
        }
        facility_id, moment = min(waiting.items(), key=lambda item: item[1])
        self.scenario.at(moment)
        return self.do(RestoreDispatch(dr_event_id=DR_EVENT_ID, facility_id=facility_id))

    def do(self, *commands: msgspec.Struct) -> Self:
        self.scenario.after(*commands)
        return self.settle()

    def settle(self) -> Self:
        """Relay and execute until nothing is left to do."""
        asyncio.run(self._settle())
        return self

    def relay_all(self) -> Self:
        """Relay what is recorded, without executing the work."""
        asyncio.run(self._relay())
        return self

    def take(self) -> list[BmsWork]:
        """The work of all buildings, in order; nobody else carries it out."""
        rows, found = self.rows, list[BmsWork]()
        while taken := rows.take_bms(self._holder, commands=1_000, checks=1_000):
            found += [taken_work(self.scenario.store, row) for row in taken]
            rows.finish(taken)
        return found

    async def _settle(self) -> None:
        head = -1
        while head != self.scenario.store.head():
            head = self.scenario.store.head()
            await self._relay()
            await self._work()

    async def _relay(self) -> None:
        while entries := self.scenario.store.read_after(self.position, 100):
            for entry in entries:
                await self.relay.relay(entry)
                self.position = entry.position

    async def _work(self) -> None:
        rows = self.rows
        while taken := rows.take_bms(self._holder, commands=1_000, checks=1_000):
            for row in taken:
                work = taken_work(self.scenario.store, row)
                if not self.loses(work):
                    await self.calls.do(work)
                rows.finish([row])
        while taken := rows.take_callbacks(self._holder, at_most=1_000, at_once=1_000):
            for row in taken:
                callback = recorded_work(self.scenario.store, row.position or 0)
                assert isinstance(callback, CallbackWork)
                self.callbacks.append(callback)
            rows.finish(taken)
