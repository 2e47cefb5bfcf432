"""Domain events of a BMS command: requested, attempted, and its outcome. Used as `Dispatch.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from msgspec.structs import replace

from domain.dispatch.event_base import Event, status_while_open, with_command
from domain.dispatch.state import BmsCommand, CommandRecord, DispatchState, Phase, Setpoint


class BmsCommandRequested(Event, frozen=True, kw_only=True):
    """The intent to command a zone, recorded before anything is sent."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-requested.v1"
    command: BmsCommand

    def evolve(self, state: DispatchState) -> DispatchState:
        command = self.command
        steps = state.restore_steps
        if command.phase == "restore":
            steps = tuple(step for step in steps if step.zone_id != command.zone_id)
        begun = replace(
            state,
            status=status_while_open(command, state),
            restore_steps=steps,
            prepare_again=state.prepare_again and command.phase != "prepare",
        )
        return with_command(begun, CommandRecord(command=command))


class BmsCommandReissued(Event, frozen=True, kw_only=True):
    """The same command is issued again under the same id, because its outcome is unknown."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-reissued.v1"
    command_id: UUID
    issue: int
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        changed = replace(record, state="requested", issue=self.issue)
        status = status_while_open(record.command, state)
        return with_command(replace(state, status=status), changed)


class BmsCommandAttempted(Event, frozen=True, kw_only=True):
    """A call is about to be made. Its outcome is unknown until it is recorded."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-attempted.v1"
    command_id: UUID
    attempt: int

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        return with_command(state, replace(record, attempts=self.attempt))


class BmsCommandSucceeded(Event, frozen=True, kw_only=True):
    """The BMS carried the command out."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-succeeded.v1"
    command_id: UUID
    zone_id: str
    phase: Phase
    executed_at: datetime
    setpoint: Setpoint
    """For a prepare the setpoint that was read; for other phases the setpoint in force."""
    learned_by: Literal["answer", "status_query"]

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        changed = with_command(state, replace(record, state="succeeded"))
        zone_id = self.zone_id
        if self.phase == "prepare":
            return replace(changed, previous={**changed.previous, zone_id: self.setpoint})
        if self.phase == "commit":
            return replace(
                changed,
                curtailed_at={zone_id: self.executed_at, **changed.curtailed_at},
                in_force={**changed.in_force, zone_id: self.setpoint},
            )
        return replace(
            changed,
            curtailed_at={key: at for key, at in changed.curtailed_at.items() if key != zone_id},
        )


class BmsCommandRefused(Event, frozen=True, kw_only=True):
    """The BMS refused the command and changed nothing."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-refused.v1"
    command_id: UUID
    zone_id: str
    phase: Phase
    code: str
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        return with_command(state, replace(record, state="refused"))


class BmsCommandGaveUp(Event, frozen=True, kw_only=True):
    """The outcome was still unknown at the deadline; the command is a dead letter."""

    TOPIC: ClassVar[str] = "dispatch.bms-command-gave-up.v1"
    command_id: UUID
    zone_id: str
    phase: Phase
    attempts: int
    was_sent: bool
    """False: the command was never sent, so it has not affected the zone."""
    reason: str

    def evolve(self, state: DispatchState) -> DispatchState:
        record = state.commands[str(self.command_id)]
        if not self.was_sent:
            return with_command(state, replace(record, state="refused"))
        return with_command(state, replace(record, state="gave_up"))
