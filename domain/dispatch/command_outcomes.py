"""Decisions of `Dispatch` about BMS commands: attempts, outcomes, and issuing a command again; pure functions."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Literal
from uuid import UUID

from domain.dispatch import command_events
from domain.dispatch.amendment import drop_events
from domain.dispatch.decisions import DispatchDecision, command_requests
from domain.dispatch.phase_conclusion import phase_conclusion
from domain.dispatch.state import FINAL, UNDOING, CommandRecord, DispatchState, Setpoint
from domain.errors import NotAllowedNow, ReasonRequired, UnknownBmsCommand
from domain.event_sourcing.aggregate import Decision, PendingEvent, pending

STILL_CURTAILED = "curtailed"
"""The code with which a BMS refuses to abort a zone that is committed."""


def reissue(state: DispatchState, now: datetime, *, command_id: UUID, reason: str) -> DispatchDecision:
    """Issue a dead-lettered command again under the same id, on behalf of a person and with a reason.

    From its deadline on an abort is refused: it would not be sent any more.
    """
    if not reason.strip():
        raise ReasonRequired("a replay needs a reason")
    record = _record_of(state, command_id)
    if record.state == "by_hand":
        raise NotAllowedNow(f"{state.facility_id} was restored by hand; discard the dead letter")
    if record.state != "gave_up":
        raise NotAllowedNow(f"command {command_id} is {record.state}; only one given up can be replayed")
    if record.command.phase not in {"restore", "abort"}:
        raise NotAllowedNow(
            f"the {record.command.phase} of {state.facility_id} can no longer be replayed: "
            "its dispatch has failed and was compensated"
        )
    if state.status not in FINAL | UNDOING:
        raise NotAllowedNow(
            f"the dispatch of {state.facility_id} goes on ({state.status}); "
            "what was given up of it before is not replayed any more"
        )
    if record.command.not_after is not None and now >= record.command.not_after:
        raise NotAllowedNow(
            f"the {record.command.phase} of {state.facility_id} had to be done by {record.command.not_after}, and is "
            "not sent any more; discard the dead letter"
        )
    yield reissued(record, reason)


def attempt(state: DispatchState, *, command_id: UUID) -> Decision[DispatchState, int]:
    """Record that a call is about to be made; returns the number of the attempt."""
    record = _record_of(state, command_id)
    if record.state != "requested":
        raise NotAllowedNow(f"command {command_id} is already {record.state}")
    attempt = record.attempts + 1
    yield pending(command_events.BmsCommandAttempted, command_id=command_id, attempt=attempt)
    return attempt


def command_succeeded(
    state: DispatchState,
    now: datetime,
    *,
    command_id: UUID,
    executed_at: datetime,
    setpoint: Setpoint,
    learned_by: Literal["answer", "status_query"],
) -> DispatchDecision:
    """Record a success and its consequences. A second report of an outcome records nothing.

    A commit that was being sent while an operator confirmed the manual restore may have curtailed the
    building again after it: the zone is restored. The time at which the BMS executed it is of the BMS's clock and
    does not tell.
    """
    record = _record_of(state, command_id)
    command = record.command
    overtaken = record.state == "by_hand" and command.phase == "commit"
    if record.state != "requested" and not overtaken:
        return
    state = yield pending(
        command_events.BmsCommandSucceeded,
        command_id=command_id,
        zone_id=command.zone_id,
        phase=command.phase,
        executed_at=executed_at,
        setpoint=setpoint,
        learned_by=learned_by,
    )
    if overtaken:
        state = yield from _restore_again(state, command.zone_id)
    yield from _conclude(state, now)


def command_refused(
    state: DispatchState, now: datetime, *, command_id: UUID, code: str, reason: str
) -> DispatchDecision:
    """Record a refusal and its consequences."""
    record = _record_of(state, command_id)
    if record.state != "requested":
        return
    command = record.command
    state = yield pending(
        command_events.BmsCommandRefused,
        command_id=command_id,
        zone_id=command.zone_id,
        phase=command.phase,
        code=code,
        reason=reason,
    )
    if command.phase == "abort" and code == STILL_CURTAILED:
        # A commit that was assumed to have failed was carried out.
        state = yield from _restore_again(state, command.zone_id)
    yield from _conclude(state, now)


def command_gave_up(
    state: DispatchState, now: datetime, *, command_id: UUID, was_sent: bool, reason: str
) -> DispatchDecision:
    """Record that the outcome of a command is unknown at its deadline."""
    record = _record_of(state, command_id)
    if record.state != "requested":
        return
    command = record.command
    state = yield pending(
        command_events.BmsCommandGaveUp,
        command_id=command_id,
        zone_id=command.zone_id,
        phase=command.phase,
        attempts=record.attempts,
        was_sent=was_sent,
        reason=reason,
    )
    yield from _conclude(state, now)


def reissued(record: CommandRecord, reason: str) -> PendingEvent:
    """The same command, issued once more under its id."""
    return pending(
        command_events.BmsCommandReissued,
        command_id=record.command.command_id,
        issue=record.issue + 1,
        reason=reason,
    )


def retry_restore(state: DispatchState, *, reason: str) -> DispatchDecision:
    """Retry the restore of the remaining zones.

    A refused command is repeated as a new round; a command that was given up is issued again under the
    same id.
    """
    if state.status != "restore_failed":
        return
    for zone_id, record in sorted(state.latest("restore").items()):
        if record.state == "refused":
            state = yield from _restore_again(state, zone_id)
        elif record.state == "gave_up":
            state = yield reissued(record, reason)


def _restore_again(
    state: DispatchState, zone_id: str
) -> Generator[PendingEvent, DispatchState, DispatchState]:
    """Request the restore of a zone, if it is still in the plan. Returns the state after it."""
    if zone_id in state.zones:
        for request in command_requests(state, [state.zones[zone_id]], "restore", not_after=None):
            state = yield request
    return state


def _conclude(state: DispatchState, now: datetime) -> DispatchDecision:
    """Once no command is open, record the result of the phase."""
    concluded = phase_conclusion(state, now=now)
    if concluded is not None:
        state = yield concluded
        # Abort a zone that was removed from the plan while its prepare was open.
        yield from drop_events(state, now=now)


def _record_of(state: DispatchState, command_id: UUID) -> CommandRecord:
    try:
        return state.commands[str(command_id)]
    except KeyError:
        raise UnknownBmsCommand(f"command {command_id} was never requested of {state.facility_id}") from None
