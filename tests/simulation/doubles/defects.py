"""The defects of the release where they strike: at the BMS, at the utility, and in the handlers of commands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from application.command_bus.bus import Handler
from application.command_bus.decision_context import Decision, DecisionContext
from application.ports.callback import CallbackAccepted
from application.ports.dispatch.building_control import (
    BmsConnection,
    CommandReceipt,
    CommandStatus,
    ZoneCommand,
    ZoneState,
)
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.runtime.processes import running_process
from tests.simulation.scenario.defects import SAGA_COMMANDS, Defect, DefectiveQueue
from tests.simulation.scenario.fault_injection import FaultInjector


class SimulatedDefect(TypeError):
    """An error of ours that nothing expects."""


class Failure(NamedTuple):
    at: datetime
    queue: DefectiveQueue
    item: str
    """The id of the BMS command, of the callback, or of the domain event that the command follows from; the facility of
    a question to its BMS."""
    process: str
    """The process that tried, which is another one after each restart."""


@dataclass
class Defects:
    """Shared by all processes: they run the same release."""

    defects: Sequence[Defect]
    clock: VirtualClock
    injector: FaultInjector
    failures: list[Failure] = field(default_factory=list)

    def control(self, control: Any) -> Any:
        return DefectiveControl(self, control) if self.defects else control

    def notifier(self, notifier: Any) -> Any:
        return DefectiveNotifier(self, notifier) if self.defects else notifier

    def handlers(self, handlers: Mapping[type, Handler]) -> Mapping[type, Handler]:
        marks = {defect.mark for defect in self.defects}
        broken = {kind: self._handler(handlers[kind]) for kind in SAGA_COMMANDS if kind.__name__ in marks}
        return {**handlers, **broken} if broken else handlers

    def strike(self, queue: DefectiveQueue, mark: str, item: object) -> None:
        """Raises SimulatedDefect while a defect concerns that work."""
        now = self.clock.now()
        for defect in self.defects:
            if (defect.queue, defect.mark) == (queue, mark) and now < self._moment(defect.mended_s):
                self.failures.append(Failure(now, queue, str(item), running_process()))
                self.injector.strike(f"defect.{queue}", mark)
                raise SimulatedDefect(f"simulated: a defect in {mark}")

    def _moment(self, at_s: float) -> datetime:
        return self.clock.epoch + timedelta(seconds=at_s)

    def _handler(self, handler: Handler) -> Handler:
        def decide(command: Any, context: DecisionContext) -> Decision:
            self.strike("saga_command", type(command).__name__, context.provenance.causation_id)
            return handler(command, context)

        return decide


@dataclass(frozen=True)
class DefectiveControl:
    """BuildingControl."""

    defects: Defects
    control: Any

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        self.defects.strike("bms_command", f"{command.phase} {command.facility_id}", command.command_id)
        receipt: CommandReceipt = await self.control.execute(connection, command)
        return receipt

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        status: CommandStatus = await self.control.command_status(connection, command)
        return status

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        self.defects.strike("bms_command", f"state {connection.facility_id}", connection.facility_id)
        state: ZoneState = await self.control.zone_state(connection, zone_id)
        return state

    async def aclose(self) -> None:
        await self.control.aclose()


@dataclass(frozen=True)
class DefectiveNotifier:
    """UtilityNotifier."""

    defects: Defects
    notifier: Any

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        self.defects.strike("callback", json.loads(body)["kind"], callback_id)
        accepted: CallbackAccepted = await self.notifier.send(utility_id, url, body, callback_id, trace_id)
        return accepted

    async def aclose(self) -> None:
        await self.notifier.aclose()
