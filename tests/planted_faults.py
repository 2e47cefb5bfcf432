"""Planted faults: wrappers around ports that break a promise on purpose, so that tests can show a check finds it.

The product does not import this module. `tests.planted_worker` starts a worker with a fault planted.
"""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch
from uuid import UUID

import msgspec

import adapters.clock
from application.command_bus.bus import CommandBus, CommandRequest, Outcome
from application.command_bus.decision_context import CommandContext, Decision, DecisionContext
from application.commands.dispatch import AttemptBmsCommand
from application.commands.dispatch_batch import AttemptBmsCommands
from application.handlers import HANDLERS
from application.ports.callback import CallbackAccepted, UtilityNotifier
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsConnection,
    BuildingControl,
    CommandReceipt,
    CommandStatus,
    ZoneCommand,
    ZoneState,
)
from application.telemetry.sealing.day_sealer import Causes, DaySealer, FacilityDay, SealingResult

Fault = Literal["resend", "skip-intent", "skip-restore", "lost-callback"]

WRONG_BY = timedelta(seconds=10)


def plant_failing_handler(failing: str) -> None:
    """In this process every command of a class for a DR event meets a defect. `failing`: both, with a slash between."""
    name, _, dr_event_id = failing.partition("/")
    [command_type] = [one for one in HANDLERS if one.__name__ == name]
    sound = HANDLERS[command_type]

    def handle(command: Any, context: DecisionContext) -> Decision:
        if str(command.dr_event_id) == dr_event_id:
            raise RuntimeError(f"planted: {name} fails")
        return sound(command, context)

    HANDLERS[command_type] = handle


def plant_failing_seal(facility_id: str) -> None:
    """In this process the sealing of every day of that facility meets a defect."""
    sound = DaySealer._seal_block

    def seal_block(
        sealer: DaySealer, block: Sequence[FacilityDay], causes: Causes, *, only_new: bool
    ) -> SealingResult:
        if any(one.facility_id == facility_id for one in block):
            raise RuntimeError(f"planted: the readings of {facility_id} cannot be sealed")
        return sound(sealer, block, causes, only_new=only_new)

    patch.object(DaySealer, "_seal_block", seal_block).start()


def plant_wrong_clock(file: Path) -> None:
    """The clock of this process is WRONG_BY ahead while `file` exists."""

    class WrongDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + (WRONG_BY if file.exists() else timedelta())

    patch.object(adapters.clock, "datetime", WrongDatetime).start()


def plant_machine(name: str) -> None:
    """This process reports about a machine of that name."""
    patch.object(platform, "node", return_value=name).start()
    patch.object(socket, "gethostname", return_value=name).start()


class ResendingControl:
    """`resend`: sends each commit twice, as a system without idempotency would."""

    def __init__(self, control: BuildingControl) -> None:
        self._control = control

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if command.phase == "commit":
            await self._control.execute(connection, command)
        return await self._control.execute(connection, command)

    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        return await self._control.command_status(connection, command)

    async def zone_state(self, connection: BmsConnection, zone_id: str) -> ZoneState:
        return await self._control.zone_state(connection, zone_id)

    async def aclose(self) -> None:
        await self._control.aclose()


class RestoreSkippingControl(ResendingControl):
    """`skip-restore`: reports a restore as done without sending it."""

    def __init__(self, control: BuildingControl, clock: Clock) -> None:
        super().__init__(control)
        self._clock = clock

    async def execute(self, connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if command.phase != "restore" or command.restore_to is None:
            return await self._control.execute(connection, command)
        now: datetime = self._clock.now()
        return CommandReceipt(
            command_id=command.command_id,
            zone_id=command.zone_id,
            phase="restore",
            executed_at=now,
            setpoint=command.restore_to,
        )


class OneByOneBus(CommandBus):
    """Handles batched commands one by one, so that a fault in `handle` affects them too."""

    def handle_all(self, asked: Sequence[CommandRequest]) -> list[Outcome]:
        return [self.outcome_of(one) for one in asked]


class AttemptSkippingBus(OneByOneBus):
    """`skip-intent`: drops the intent that is recorded before a BMS is called."""

    def handle(self, command: msgspec.Struct, context: CommandContext, **kwargs: Any) -> Any:
        if isinstance(command, AttemptBmsCommand | AttemptBmsCommands):
            return self._handler(command)(command, self._decision_context(context, self._store)).reply
        return super().handle(command, context, **kwargs)


class LosingNotifier:
    """`lost-callback`: reports a callback as delivered without sending it."""

    def __init__(self, notifier: UtilityNotifier) -> None:
        self._notifier = notifier

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        return CallbackAccepted(status_code=200)

    async def aclose(self) -> None:
        await self._notifier.aclose()
