"""Invariants of the buildings: what they did, compared with the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from domain.dispatch import LONGEST_RESTORE_RETRY, BmsCommand, Dispatch
from domain.dr_event import DREvent
from interfaces.simulators.bms.journal import COMMANDED
from interfaces.simulators.bms.zone import COMFORTABLE_C
from tests.simulation.evidence import Evidence, Finding
from tests.simulation.scenario.plan import FREEZES_S

GRACE = LONGEST_RESTORE_RETRY + timedelta(minutes=5)
"""Time for the last retries, after the end of the window or of the faults, whichever is later."""
SLACK = timedelta(seconds=10)
"""Tolerance for a slow database and for clocks that differ."""


TIME_OUTS, BREAKER_PAUSE = 5, timedelta(seconds=60)


class Curtailment(NamedTuple):
    """A span in which a zone was curtailed for a DR event; `until` is None if it still is."""

    facility_id: str
    zone_id: str
    dr_event_id: UUID | None
    since: datetime
    until: datetime | None


def executed_once(evidence: Evidence) -> Iterator[Finding]:
    """Only a BMS that forgot a command may execute it again, and only a setpoint may be written again."""
    times = Counter(
        entry.command_id
        for entry in evidence.journal
        if entry.action in COMMANDED
        and entry.command_id not in evidence.forgotten
        and _has_command_ids(entry.facility_id, evidence)
    )
    for command_id, count in times.items():
        if count > 1 and command_id is not None:
            yield Finding(f"{_named(evidence, command_id)} was carried out {count} times")


def recorded_before_called(evidence: Evidence) -> Iterator[Finding]:
    """At each call of a command, as many attempts are recorded as calls were made."""
    attempts: dict[UUID, list[datetime]] = {}
    for attempted in evidence.recorded(Dispatch.BmsCommandAttempted):
        attempts.setdefault(attempted.command_id, []).append(attempted.recorded_at)
    calls: Counter[UUID] = Counter()
    for call in evidence.calls:
        if call.operation not in COMMANDED or call.command_id is None:
            continue
        calls[call.command_id] += 1
        by_then = sum(at <= call.began_at + SLACK for at in attempts.get(call.command_id, []))
        if calls[call.command_id] > by_then:
            yield Finding(
                f"{_named(evidence, call.command_id)} was called without a recorded attempt", call.began_at
            )


def nothing_begun_after_cancellation(evidence: Evidence) -> Iterator[Finding]:
    """Calls decided before a cancellation may still be in flight; nothing is decided after it."""
    ended = _cancelled_at(evidence)
    for requested in evidence.recorded(Dispatch.BmsCommandRequested):
        at = ended.get(requested.dr_event_id)
        begins = requested.command.phase in {"prepare", "commit"}
        if at is not None and begins and requested.recorded_at > at + slack(evidence):
            yield Finding(
                f"{_of(requested)} was requested {_after(requested.recorded_at, at)} the cancellation",
                requested.recorded_at,
            )


def nothing_left_curtailed(evidence: Evidence) -> Iterator[Finding]:
    ends = {state.dr_event_id: _end_of(state.dr_event_id, evidence) for state in evidence.dr_events()}
    for curtailment in curtailments(evidence):
        until = curtailment.until or evidence.ended_at
        end = None if curtailment.dr_event_id is None else ends.get(curtailment.dr_event_id)
        if end is None:
            yield Finding(f"{curtailment.facility_id}/{curtailment.zone_id} was curtailed for no DR event")
        elif until > max(end, evidence.faults_end_at) + GRACE or curtailment.until is None:
            place = f"{curtailment.facility_id}/{curtailment.zone_id}"
            yield Finding(f"{place} stayed curtailed until {_after(until, end)} the end", until)


def setpoints_are_back(evidence: Evidence) -> Iterator[Finding]:
    """A zone without a manual override ends at its first setpoint."""
    overridden = {facility_id for _, facility_id in evidence.plan.overrides}
    last = {(entry.facility_id, entry.zone_id): entry for entry in evidence.journal}
    for (facility_id, zone_id), entry in last.items():
        if facility_id not in overridden and not entry.curtailed and entry.setpoint != COMFORTABLE_C:
            was = f"{entry.setpoint:g} instead of {COMFORTABLE_C:g}"
            yield Finding(f"{facility_id}/{zone_id} was left at {was}", entry.at)


def nothing_sent_too_late(evidence: Evidence) -> Iterator[Finding]:
    """No call begins after its expiry, except in a process that was stopped just before the call."""
    commands = _commands(evidence)
    for call in evidence.calls:
        command = None if call.command_id is None else commands.get(call.command_id)
        if command is None or command.not_after is None or call.operation not in COMMANDED:
            continue
        if call.began_at > command.not_after + slack(evidence):
            late = _after(call.began_at, command.not_after)
            place = f"{call.facility_id}/{command.zone_id}"
            yield Finding(f"the {command.phase} of {place} was sent {late} its time", call.began_at)


def one_call_at_a_time(evidence: Evidence) -> Iterator[Finding]:
    """Holds unless a lock was lost without its holder noticing."""
    if evidence.locks_were_lost:
        return
    free_at: dict[str, tuple[datetime, str]] = {}
    for call in sorted(evidence.calls, key=lambda call: call.began_at):
        until, caller = free_at.get(call.facility_id, (call.began_at, call.caller))
        if call.began_at < until:
            yield Finding(f"{call.caller} called {call.facility_id} as {caller} still did", call.began_at)
        if call.ended_at is not None and call.ended_at > until:
            free_at[call.facility_id] = (call.ended_at, call.caller)


def breaker_pauses_calls(evidence: Evidence) -> Iterator[Finding]:
    """After five time-outs in a row a process does not call that BMS for a minute.

    Calls may overlap where a lock was lost: one that was under way when the pause began neither breaks the rule nor
    counts."""
    in_a_row: Counter[tuple[str, str]] = Counter()
    free_at: dict[tuple[str, str], datetime] = {}
    ended = [(call.ended_at, False, call) for call in evidence.calls if call.ended_at is not None]
    begun = [(call.began_at, True, call) for call in evidence.calls]
    for at, is_begin, call in sorted((*ended, *begun), key=lambda moment: moment[:2]):
        place = (call.caller, call.facility_id)
        is_paused = at < free_at.get(place, at)
        if is_paused and is_begin:
            yield Finding(
                f"{call.caller} called {call.facility_id} within a minute of its fifth time-out", at
            )
        elif not is_begin and not is_paused and call.timed_out is not None:
            in_a_row[place] = in_a_row[place] + 1 if call.timed_out else 0
            if in_a_row[place] >= TIME_OUTS:
                free_at[place] = at + BREAKER_PAUSE - SLACK


def log_matches_buildings(evidence: Evidence) -> Iterator[Finding]:
    """Each recorded success was executed, and each executed command was requested.

    A single-phase BMS is exempt: writing a setpoint that changes nothing leaves no journal entry.
    """
    done = {(entry.command_id, entry.action) for entry in evidence.journal}
    for succeeded in evidence.recorded(Dispatch.BmsCommandSucceeded):
        if (succeeded.command_id, succeeded.phase) not in done and _has_command_ids(
            succeeded.facility_id, evidence
        ):
            named = _named(evidence, succeeded.command_id)
            yield Finding(f"{named} was recorded as done but not executed", succeeded.recorded_at)
    commands = _commands(evidence)
    for command_id, action in sorted(done, key=str):
        if action in COMMANDED and command_id not in commands:
            yield Finding(f"a {action} was executed without a request")


def curtailments(evidence: Evidence) -> Iterator[Curtailment]:
    """Every span in which a zone was curtailed, from the journal."""
    since: dict[tuple[str, str], tuple[datetime, UUID | None]] = {}
    for entry in sorted(evidence.journal, key=lambda entry: entry.at):
        zone = (entry.facility_id, entry.zone_id)
        if entry.curtailed:
            since.setdefault(zone, (entry.at, entry.dr_event_id))
        elif zone in since:
            began, dr_event_id = since.pop(zone)
            yield Curtailment(*zone, dr_event_id, began, entry.at)
    for zone, (began, dr_event_id) in since.items():
        yield Curtailment(*zone, dr_event_id, began, None)


def _end_of(dr_event_id: UUID, evidence: Evidence) -> datetime | None:
    """When the DR event was over: the end of its last window, or its cancellation or abort."""
    notices = [
        domain_event.notice
        for domain_event in evidence.recorded(DREvent.Event)
        if isinstance(domain_event, DREvent.Accepted | DREvent.Modified)
        and domain_event.originator_id == dr_event_id
    ]
    if not notices:
        return None
    return min([notices[-1].ends_at, *_released_at(evidence, dr_event_id)])


def _released_at(evidence: Evidence, dr_event_id: UUID) -> list[datetime]:
    return [
        domain_event.recorded_at
        for domain_event in evidence.recorded(DREvent.Event)
        if isinstance(domain_event, DREvent.Cancelled | DREvent.CancelledWhileActive | DREvent.BatchAborted)
        and domain_event.originator_id == dr_event_id
    ]


def _cancelled_at(evidence: Evidence) -> dict[UUID, datetime]:
    cancelled = DREvent.Cancelled | DREvent.CancelledWhileActive
    return {
        domain_event.originator_id: domain_event.recorded_at
        for domain_event in evidence.recorded(DREvent.Event)
        if isinstance(domain_event, cancelled)
    }


def _has_command_ids(facility_id: str, evidence: Evidence) -> bool:
    return any(
        entry.facility_id == facility_id and entry.bms.profile != "single_phase"
        for entry in evidence.plan.facilities
    )


def _commands(evidence: Evidence) -> dict[UUID, BmsCommand]:
    return {r.command.command_id: r.command for r in evidence.recorded(Dispatch.BmsCommandRequested)}


def slack(evidence: Evidence) -> timedelta:
    """Tolerance that includes the time for which a process may be stopped."""
    stops_s = [
        process_fault.for_s
        for process_fault in evidence.plan.process_faults
        if process_fault.for_s is not None
    ]
    if evidence.plan.rates["process.freezes_at_failpoint"]:
        stops_s.append(FREEZES_S)
    return SLACK + timedelta(seconds=max(stops_s, default=0.0))


def _named(evidence: Evidence, command_id: UUID) -> str:
    for requested in evidence.recorded(Dispatch.BmsCommandRequested):
        if requested.command.command_id == command_id:
            return _of(requested)
    return f"command {command_id}"


def _of(requested: Dispatch.BmsCommandRequested) -> str:
    command = requested.command
    return f"the {command.phase} of {requested.facility_id}/{command.zone_id} (round {command.round})"


def _after(moment: datetime, reference: datetime) -> str:
    return f"{(moment - reference).total_seconds():.0f} s after"
