"""The base of a dispatch's domain events, and what their evolutions share."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from msgspec.structs import replace

from domain.dispatch.state import CURTAILED, BmsCommand, CommandRecord, DispatchState, DispatchStatus, Phase
from domain.event_sourcing.aggregate import Aggregate


def underway(phase: Phase, state: DispatchState) -> DispatchStatus:
    """The status while commands of `phase` are open; a building that is curtailed already stays so."""
    if phase == "prepare":
        return "preparing"
    if phase == "commit":
        return state.status if state.status in CURTAILED else "committing"
    if state.failure is not None:
        return "compensating"
    return "restoring" if phase == "restore" else "aborting"


def status_under(command: BmsCommand, state: DispatchState) -> DispatchStatus:
    """The status while `command` is open; a zone that the plan left out is let go beside what goes on."""
    if command.phase == "abort" and command.zone_id not in state.zones:
        return state.status
    return underway(command.phase, state)


def with_command(state: DispatchState, record: CommandRecord) -> DispatchState:
    return replace(state, commands={**state.commands, str(record.command.command_id): record})


def settled_by_hand(state: DispatchState) -> dict[str, CommandRecord]:
    """The commands once somebody in the building has done what was not carried out of those that let its zones go."""
    undoing = [*state.latest("restore").values(), *state.latest("abort").values()]
    settled = [replace(record, state="by_hand") for record in undoing if record.state != "succeeded"]
    return {**state.commands, **{str(record.command.command_id): record for record in settled}}


class Event(Aggregate.Event, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "dispatch.event"
    dr_event_id: UUID
    facility_id: str
