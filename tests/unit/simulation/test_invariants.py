"""Each invariant detects its breach, in the evidence of a sound run with one change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace as replace_struct

from application.command_bus.retry import MAX_TRIES
from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from tests.simulation.doubles.database import MovedPosition, RefusedSave
from tests.simulation.doubles.defects import Failure
from tests.simulation.evidence import Evidence
from tests.simulation.invariants.buildings import TIME_OUTS, curtailments
from tests.simulation.invariants.parking import MOST_TRIES, defects_are_parked
from tests.simulation.invariants.table import INVARIANTS, breaches
from tests.simulation.runs import Setting, storm_of
from tests.simulation.scenario.few_places import Places
from tests.simulation.scenario.hostile_utility import HOSTILE_PROGRAM
from tests.simulation.scenario.plan import ClockFault, StormPlan

Change = Callable[[Evidence], Evidence]
HOUR = timedelta(hours=1)


@cache
def good() -> Evidence:
    """The evidence of the first seed with a full outcome, deduplicating BMSs and no overrides."""
    for seed in range(200):
        evidence = storm_of(seed, Setting()).evidence
        completed = evidence.recorded(DREvent.Completed)
        plain = not evidence.plan.overrides and not evidence.locks_were_lost
        if plain and evidence.plan.deduplicates and any(c.outcome == "full" for c in completed):
            return evidence
    raise AssertionError("no seed completes in full")


def with_event(kind: type[DomainEvent], **changes: Any) -> Change:
    """The last domain event of that kind, changed."""

    def change(evidence: Evidence) -> Evidence:
        place = max(n for n, entry in enumerate(evidence.entries) if isinstance(entry.domain_event, kind))
        found = evidence.entries[place]
        changed = msgspec.structs.replace(found.domain_event, **changes)
        entries = list(evidence.entries)
        entries[place] = LogEntry(found.position, found.topic, changed)
        return replace(evidence, entries=entries)

    return change


def again(kind: type[DomainEvent], **changes: Any) -> Change:
    """The first domain event of that kind once more, right after it."""

    def change(evidence: Evidence) -> Evidence:
        place = next(n for n, entry in enumerate(evidence.entries) if isinstance(entry.domain_event, kind))
        found, entries = evidence.entries[place], list(evidence.entries)
        copy = msgspec.structs.replace(found.domain_event, **changes)
        entries.insert(place + 1, LogEntry(found.position, found.topic, copy))
        return replace(evidence, entries=entries)

    return change


def beyond_its_headroom(evidence: Evidence) -> Evidence:
    [*_, scheduled] = evidence.recorded(DREvent.Scheduled)
    targets = tuple(msgspec.structs.replace(t, target_kw=t.headroom_kw + 1) for t in scheduled.targets)
    return with_event(DREvent.Scheduled, targets=targets)(evidence)


def done_twice(evidence: Evidence) -> Evidence:
    commit = next(entry for entry in evidence.journal if entry.action == "commit")
    return replace(evidence, journal=[*evidence.journal, msgspec.structs.replace(commit, curtailed=False)])


def left_curtailed(evidence: Evidence) -> Evidence:
    """The evidence without the action that ended the last curtailment, and without all later ones of its zone."""
    ended = [curtailment for curtailment in curtailments(evidence) if curtailment.until is not None]
    last = max(ended, key=lambda curtailment: (curtailment.until, curtailment.since))
    zone, until = (last.facility_id, last.zone_id), last.until
    journal = [
        entry
        for entry in evidence.journal
        if (entry.facility_id, entry.zone_id) != zone or until is None or entry.at < until
    ]
    return replace(evidence, journal=journal)


def left_warm(evidence: Evidence) -> Evidence:
    journal = [
        msgspec.structs.replace(entry, setpoint=25.0) if entry.action == "restore" else entry
        for entry in evidence.journal
    ]
    return replace(evidence, journal=journal)


def with_call(operation: str, *, later: timedelta = timedelta(), lasting: timedelta = timedelta()) -> Change:
    """The first call of that operation, later or longer."""

    def change(evidence: Evidence) -> Evidence:
        calls = [msgspec.structs.replace(call) for call in evidence.calls]
        call = next(call for call in calls if call.operation == operation)
        assert call.ended_at is not None
        call.began_at, call.ended_at = call.began_at + later, call.ended_at + later + lasting
        return replace(evidence, calls=calls)

    return change


def called_despite_breaker(evidence: Evidence) -> Evidence:
    """Time-outs in a row, and one more call right after them."""
    first = next(call for call in evidence.calls if call.ended_at is not None)
    silent = [msgspec.structs.replace(first, timed_out=True) for _ in range(TIME_OUTS + 1)]
    return replace(evidence, calls=[*silent, msgspec.structs.replace(first, began_at=first.ended_at)])


def unrecorded(evidence: Evidence) -> Evidence:
    attempts = Dispatch.BmsCommandAttempted
    return replace(
        evidence, entries=[e for e in evidence.entries if not isinstance(e.domain_event, attempts)]
    )


def without(*kinds: type[DomainEvent], phase: str | None = None) -> Change:
    """The log with other domain events in place of those kinds, so that each position stays."""

    def is_out(domain_event: DomainEvent) -> bool:
        is_of_phase = phase is None or getattr(domain_event, "phase", None) == phase
        return isinstance(domain_event, kinds) and is_of_phase

    def change(evidence: Evidence) -> Evidence:
        other = evidence.entries[0].domain_event
        entries = [
            LogEntry(entry.position, entry.topic, other) if is_out(entry.domain_event) else entry
            for entry in evidence.entries
        ]
        return replace(evidence, entries=entries)

    return change


def never_begun(evidence: Evidence) -> Evidence:
    outcomes = (Dispatch.BmsCommandSucceeded, Dispatch.BmsCommandRefused, Dispatch.BmsCommandGaveUp)
    plan = replace_struct(evidence.plan, places=Places(commands=1, checks=1))
    return replace(without(Dispatch.BmsCommandAttempted, *outcomes)(evidence), plan=plan)


def undisturbed(evidence: Evidence) -> StormPlan:
    """The plan without what may delay or repeat a callback."""
    rates = dict.fromkeys(evidence.plan.rates, 0.0)
    return replace_struct(
        evidence.plan,
        rates=rates,
        outages=(),
        process_faults=(),
        clocks_ahead=(),
        defects=(),
        is_flooded=False,
    )


def sent_by_two(evidence: Evidence) -> Evidence:
    first = evidence.tried[0]
    tried = [first, replace_struct(first, caller="notify-9#1")]
    return replace(evidence, plan=undisturbed(evidence), tried=tried)


def never_sent(evidence: Evidence) -> Evidence:
    return replace(evidence, plan=undisturbed(evidence), tried=[])


def cancelled_at_the_beginning(evidence: Evidence) -> Evidence:
    dr_event = evidence.recorded(DREvent.Completed)[0]
    first = evidence.recorded(DREvent.Accepted)[0]
    cancelled = DREvent.Cancelled(
        originator_id=dr_event.originator_id,
        originator_version=999,
        timestamp=first.recorded_at,
        correlation_id=first.correlation_id,
        causation_id=first.causation_id,
        actor=first.actor,
        tenant=first.tenant,
        trace_id=first.trace_id,
        facility_ids=(),
        reason="invented",
    )
    return replace(evidence, entries=[LogEntry(0, "dr-event.cancelled.v1", cancelled), *evidence.entries])


def provenance_of(domain_event: DomainEvent, at: datetime) -> dict[str, Any]:
    """The provenance of an invented domain event."""
    return {
        "originator_version": 999,
        "timestamp": at,
        "correlation_id": domain_event.correlation_id,
        "causation_id": domain_event.causation_id,
        "actor": domain_event.actor,
        "tenant": domain_event.tenant,
        "trace_id": domain_event.trace_id,
    }


def served_without_commit(evidence: Evidence) -> Evidence:
    def is_of_a_commit(domain_event: DomainEvent) -> bool:
        if isinstance(domain_event, Dispatch.BmsCommandRequested):
            return domain_event.command.phase == "commit"
        return isinstance(domain_event, Dispatch.Prepared)

    return replace(evidence, entries=[e for e in evidence.entries if not is_of_a_commit(e.domain_event)])


def preempted_too_early(evidence: Evidence) -> Evidence:
    """A preemption right after the curtailment, for a DR event that begins at once."""
    span, accepted = next(iter(curtailments(evidence))), evidence.recorded(DREvent.Accepted)[0]
    moment = span.since + timedelta(seconds=1)
    facilities = tuple(
        replace_struct(entry, zones=tuple(replace_struct(zone, minimum_off_s=600) for zone in entry.zones))
        for entry in evidence.plan.facilities
    )
    asked = replace_struct(accepted.notice, starts_at=moment)
    winner = replace_struct(accepted, originator_id=UUID(int=9), timestamp=moment, notice=asked)
    preempted = DREvent.Preempted(
        originator_id=span.dr_event_id or UUID(int=0),
        facility_ids=(span.facility_id,),
        by_dr_event_id=UUID(int=9),
        **provenance_of(accepted, moment),
    )
    entries = [LogEntry(0, "dr-event.preempted.v1", preempted), LogEntry(0, "dr-event.accepted.v1", winner)]
    plan = replace_struct(evidence.plan, facilities=facilities)
    return replace(evidence, plan=plan, entries=[*evidence.entries, *entries])


def commanded_while_not_restored(evidence: Evidence) -> Evidence:
    requested = evidence.recorded(Dispatch.BmsCommandRequested)[0]
    awaited = Facility.RestoreAwaited(
        originator_id=UUID(int=8),
        dr_event_id=UUID(int=9),
        facility_id=requested.facility_id,
        **provenance_of(requested, requested.recorded_at - HOUR),
    )
    entries = [LogEntry(0, "facility.restore-awaited.v1", awaited), *evidence.entries]
    return replace(evidence, entries=entries)


def with_status(kind: type[Any], status: str) -> Change:
    def change(evidence: Evidence) -> Evidence:
        aggregates = dict(evidence.aggregates)
        key = next(key for key, aggregate in aggregates.items() if isinstance(aggregate, kind))
        twin = object.__new__(kind)
        twin.__dict__.update(aggregates[key].__dict__)
        twin.__dict__["_state"] = msgspec.structs.replace(twin.state, status=status)
        return replace(evidence, aggregates={**aggregates, key: twin})

    return change


def saved_a_day_early(evidence: Evidence) -> Evidence:
    return replace(
        evidence, saved_at={position: at - 24 * HOUR for position, at in evidence.saved_at.items()}
    )


def decided_by_a_wrong_clock(evidence: Evidence) -> Evidence:
    fault = ClockFault(worker="relay-1", at_s=0.0, until_s=9_000.0, ahead_wall_s=60.0)
    plan = replace_struct(evidence.plan, clocks_ahead=(fault,))
    return replace(evidence, plan=plan, dated_ahead=[RefusedSave(plan.epoch + HOUR, "relay-1")])


def failed_without_end(evidence: Evidence) -> Evidence:
    tries = [
        Failure(evidence.plan.epoch, "callback", str(UUID(int=9)), f"notify-1#{n}")
        for n in range(MOST_TRIES + 1)
    ]
    return replace(evidence, failures=tries)


def moved_much_later(evidence: Evidence) -> Evidence:
    rates = {**evidence.plan.rates, "process.freezes_at_failpoint": 0.0, "process.dies_at_failpoint": 0.0}
    plan = replace_struct(evidence.plan, rates=rates, clocks_ahead=())
    moved = [MovedPosition(one.at + HOUR, one.reader, one.position) for one in evidence.moved]
    return replace(evidence, plan=plan, moved=moved)


def never_called_in_a_flood(evidence: Evidence) -> Evidence:
    plan = replace_struct(evidence.plan, is_flooded=True, is_calm=True)
    return replace(evidence, plan=plan, tried=[])


def with_a_foreign_name(evidence: Evidence) -> Evidence:
    return replace(evidence, tried=[replace_struct(one, body=HOSTILE_PROGRAM) for one in evidence.tried])


def unblocked_without_a_block(evidence: Evidence) -> Evidence:
    planned = evidence.recorded(Dispatch.Planned)[0]
    unblocked = Dispatch.Unblocked(
        originator_id=planned.originator_id,
        dr_event_id=planned.dr_event_id,
        facility_id=planned.facility_id,
        forecast_id=UUID(int=9),
        forecast_position=9,
        data_quality="full",
        headroom_kw=1.0,
        reason="invented",
        **provenance_of(planned, planned.recorded_at),
    )
    return replace(evidence, entries=[*evidence.entries, LogEntry(0, unblocked.TOPIC, unblocked)])


def without_a_row(evidence: Evidence) -> Evidence:
    rows = dict(evidence.read_models["dispatches"])
    rows.popitem()
    return replace(evidence, read_models={**evidence.read_models, "dispatches": rows})


CHANGES: dict[str, Change] = {
    "no command id is executed twice": done_twice,
    "an intent and an attempt are recorded before each call": unrecorded,
    "nothing is begun after a cancellation": cancelled_at_the_beginning,
    "no building is left curtailed after the end plus grace": left_curtailed,
    "every setpoint is back": left_warm,
    "nothing is sent after its time": with_call("commit", later=HOUR),
    "one call at a time per BMS": with_call("prepare", lasting=HOUR),
    "a BMS that timed out five times in a row is not called for a minute": called_despite_breaker,
    "commands of a building keep the order of the log": without(
        Dispatch.BmsCommandSucceeded, phase="prepare"
    ),
    "no command waits for a check": never_begun,
    "what the log records as done was done": lambda evidence: replace(evidence, journal=[]),
    "no agreed limit is exceeded": beyond_its_headroom,
    "a facility serves one DR event at a time": again(Facility.Reserved, dr_event_id=UUID(int=9)),
    "only what curtailed a building counts against its limits": served_without_commit,
    "a preempted facility can be released by the start of the DR event with priority": preempted_too_early,
    "no building is commanded for another DR event before it is restored": commanded_while_not_restored,
    "every facility ends in a final state": with_status(Dispatch, "restore_failed"),
    "delivered, failed and opted out are the requested facilities": with_event(
        DREvent.Completed, failed_facilities=("fac-001", "fac-404")
    ),
    "what follows from a domain event follows once": again(DREvent.CallbackRequested),
    "a dispatch is unblocked by a good forecast only": unblocked_without_a_block,
    "the log replays to the same state": with_status(DREvent, "active"),
    "read models replay to the same rows": without_a_row,
    "the utility's last callback equals the log": lambda evidence: replace(evidence, received=[]),
    "no callback is sent by two workers at once": sent_by_two,
    "no callback waits for another that fails": never_sent,
    "nothing is dated more than 5 s ahead of the database's clock": saved_a_day_early,
    "a process whose clock is wrong decides nothing": decided_by_a_wrong_clock,
    "what fails for good is parked with an alert": failed_without_end,
    "the relay moves on, whatever fails": moved_much_later,
    "no utility waits for another that floods the system": never_called_in_a_flood,
    "no utility learns of another": with_a_foreign_name,
    "the system becomes idle": lambda evidence: replace(evidence, became_idle=False),
    "no worker ends with an unexpected error": lambda evidence: replace(evidence, errors=["KeyError"]),
}


def test_a_sound_run_breaks_no_invariant() -> None:
    assert breaches(good()) == []


@pytest.mark.parametrize("name", INVARIANTS)
def test_an_invariant_detects_its_breach(name: str) -> None:
    changed = CHANGES[name](good())
    assert [found.what for found in INVARIANTS[name](changed)] != []


def test_a_relay_may_fail_at_a_command_as_often_as_each_of_its_processes_tries_it() -> None:
    """A relay counts its tries in memory: the next process begins again."""
    item = str(UUID(int=9))

    def findings(*processes: str) -> list[object]:
        evidence = good()
        tries = [Failure(evidence.plan.epoch, "saga_command", item, process) for process in processes]
        return list(defects_are_parked(replace(evidence, failures=tries)))

    assert findings(*(f"relay-1#{number // MAX_TRIES}" for number in range(2 * MOST_TRIES))) == []
    assert len(findings(*["relay-1#1"] * (MOST_TRIES + 1))) == 1
