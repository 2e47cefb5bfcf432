"""The base class of a dispatch's domain events, and state changes that several of them share."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from msgspec.structs import replace

from domain.dispatch.state import CURTAILED, BmsCommand, CommandRecord, DispatchState, DispatchStatus, Phase
from domain.event_sourcing.aggregate import Aggregate


def status_during(phase: Phase, state: DispatchState) -> DispatchStatus:
    """The status while commands of `phase` are open. A curtailed building keeps its status during a commit."""
    if phase == "prepare":
        return "preparing"
    if phase == "commit":
        return state.status if state.status in CURTAILED else "committing"
    if state.failure is not None:
        return "compensating"
    return "restoring" if phase == "restore" else "aborting"


def status_while_open(command: BmsCommand, state: DispatchState) -> DispatchStatus:
    """The status while `command` is open. The abort of a zone outside the plan does not change the status."""
    if command.phase == "abort" and command.zone_id not in state.zones:
        return state.status
    return status_during(command.phase, state)


def with_command(state: DispatchState, record: CommandRecord) -> DispatchState:
    """The state with this record of a command."""
    return replace(state, commands={**state.commands, str(record.command.command_id): record})


def commands_done_by_hand(state: DispatchState) -> dict[str, CommandRecord]:
    """All commands. Those that are open, and restores and aborts that did not succeed, are marked as done by
    hand: no worker sends them any more.
    """
    undo = [*state.latest("restore").values(), *state.latest("abort").values()]
    open_commands = [record for record in state.commands.values() if record.state == "requested"]
    done = [
        replace(record, state="by_hand") for record in (*open_commands, *undo) if record.state != "succeeded"
    ]
    return {**state.commands, **{str(record.command.command_id): record for record in done}}


class Event(Aggregate.Event, frozen=True, kw_only=True):
    """The base of every domain event of a dispatch."""

    TOPIC: ClassVar[str] = "dispatch.event"
    dr_event_id: UUID
    facility_id: str
