"""Invariants of open work: nothing overtakes, nothing is done by two workers at once, and nothing starves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from interfaces.simulators.bms.journal import COMMANDED
from tests.simulation.evidence import Evidence, Finding
from tests.simulation.invariants.parking import longest_delay

MOST_WAIT = timedelta(seconds=240)
"""Clock seconds that a command waits for a place, where the commands of all buildings share very few."""


@dataclass(eq=False)
class RequestedCommand:
    """A command that was requested, or issued again."""

    facility_id: str
    command_id: UUID
    decision: tuple[UUID, UUID]
    """Of what one decision asks of a building, the commands are called one after the other."""
    saved_at: datetime
    attempted_at: datetime | None = None
    """The first attempt."""
    over_at: datetime | None = None
    """Its outcome; None: none is recorded."""

    def is_open(self, at: datetime) -> bool:
        return self.saved_at <= at and (self.over_at is None or at < self.over_at)


def commands_keep_order(evidence: Evidence) -> Iterator[Finding]:
    """A command is called once everything that was requested of the building earlier has an outcome."""
    commands = _requested_commands(evidence)
    for call in evidence.calls:
        is_open = [one for one in commands.get(call.facility_id, ()) if one.is_open(call.began_at)]
        own = next((one for one in is_open if one.command_id == call.command_id), None)
        if call.operation in COMMANDED and own is not None and is_open[0].decision != own.decision:
            waited = is_open[0].command_id
            what = f"{call.caller} called the {call.operation} of {call.facility_id}"
            yield Finding(f"{what} before command {waited}, which was requested earlier", call.began_at)


def callbacks_sent_by_one(evidence: Evidence) -> Iterator[Finding]:
    """No two workers send a callback at once, unless one lost its session."""
    if evidence.locks_were_lost:
        return
    free_at: dict[UUID, tuple[datetime, str]] = {}
    for call in evidence.tried:
        until, caller = free_at.get(call.callback_id, (call.at, call.caller))
        if call.at < until and call.caller != caller:
            what = f"{call.caller} sent callback {call.callback_id} to {call.utility_id}"
            yield Finding(f"{what} as {caller} still did", call.at)
        if call.ended_at is not None:
            free_at[call.callback_id] = (call.ended_at, call.caller)


def no_callback_starves(evidence: Evidence) -> Iterator[Finding]:
    """A callback is sent soon for the first time, also while others of its utility fail."""
    bound = longest_delay(evidence.plan, "notify")
    if bound is None or any(defect.queue == "callback" for defect in evidence.plan.defects):
        return
    tried: dict[UUID, datetime] = {}
    for call in evidence.tried:
        tried.setdefault(call.callback_id, call.at)
    for position, saved_at in evidence.saved_at.items():
        requested = evidence.entries[position - 1].domain_event
        if isinstance(requested, DREvent.CallbackRequested):
            at = tried.get(requested.callback_id, evidence.ended_at)
            if at > saved_at + bound:
                late_s = (at - saved_at).total_seconds()
                yield Finding(f"a callback {requested.kind} was first sent {late_s:.0f} s after its save", at)


def no_command_starves(evidence: Evidence) -> Iterator[Finding]:
    """Checks keep no command waiting. Seen where workers have few places and nothing else delays a command."""
    if evidence.plan.places is None:
        return
    for facility_id, requested in _requested_commands(evidence).items():
        ready_at = evidence.plan.epoch
        for _, group in groupby(requested, key=lambda one: one.decision):
            commands = list(group)
            ready_at = max(ready_at, commands[0].saved_at)
            begun_at = min(one.attempted_at or one.over_at or evidence.ended_at for one in commands)
            if begun_at > ready_at + MOST_WAIT:
                late_s = (begun_at - ready_at).total_seconds()
                yield Finding(f"a command of {facility_id} waited {late_s:.0f} s for a place", begun_at)
            ready_at = max(one.over_at or evidence.ended_at for one in commands)


def _requested_commands(evidence: Evidence) -> dict[str, list[RequestedCommand]]:
    """The commands of each building, in the order of the log."""
    commands: dict[str, list[RequestedCommand]] = {}
    newest: dict[UUID, RequestedCommand] = {}
    for position, saved_at in evidence.saved_at.items():
        match domain_event := evidence.entries[position - 1].domain_event:
            case Dispatch.BmsCommandRequested() | Dispatch.BmsCommandReissued():
                command_id = _command_of(domain_event)
                decision = (domain_event.originator_id, domain_event.causation_id)
                if (before := newest.get(command_id)) is not None and any(
                    one.decision == before.decision and one.is_open(saved_at)
                    for one in commands[domain_event.facility_id]
                ):
                    decision = before.decision  # it is carried out with the others of its decision
                one = RequestedCommand(domain_event.facility_id, command_id, decision, saved_at)
                commands.setdefault(one.facility_id, []).append(one)
                newest[command_id] = one
            case Dispatch.BmsCommandAttempted(command_id=command_id):
                newest[command_id].attempted_at = newest[command_id].attempted_at or saved_at
            case (
                Dispatch.BmsCommandSucceeded(command_id=command_id)
                | Dispatch.BmsCommandRefused(command_id=command_id)
                | Dispatch.BmsCommandGaveUp(command_id=command_id)
            ):
                newest[command_id].over_at = newest[command_id].over_at or saved_at
    return commands


def _command_of(intent: Dispatch.BmsCommandRequested | Dispatch.BmsCommandReissued) -> UUID:
    if isinstance(intent, Dispatch.BmsCommandRequested):
        return intent.command.command_id
    return intent.command_id
