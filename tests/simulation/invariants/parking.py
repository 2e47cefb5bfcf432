"""Invariants of work that fails for good: it is parked with an alert, and what it does not concern goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import msgspec

from application.command_bus.retry import MAX_TRIES
from application.operations.command_parking import SagaCommands
from application.ports.dispatch.work_queue import (
    BmsWork,
    CallbackWork,
    WorkRejected,
    WorkTooLarge,
    encode_work,
)
from application.ports.operations.dead_letters import DeadLetter
from domain.dr_event import DREvent
from interfaces.workers.relay.relay import READER
from tests.simulation.doubles.defects import SimulatedDefect
from tests.simulation.evidence import Evidence, Finding
from tests.simulation.runtime.processes import RESTARTS_S
from tests.simulation.scenario.plan import StormPlan

MOST_TRIES = 4 * MAX_TRIES
"""More than MAX_TRIES, since a process that dies while it tries, or while it parks, begins again."""
MOST_DELAY = timedelta(seconds=240)
"""Of the relay, in a system whose servers are there, and whose processes die and are restarted now and then."""
FOR_GOOD = (SimulatedDefect.__name__, WorkRejected.__name__, WorkTooLarge.__name__)
"""How the reasons of their dead letters begin."""
ALERTS = {
    "bms_command": {"command_dead_lettered", "restore_failing"},
    "callback": {"callback_undeliverable"},
    "saga_command": {"saga_command_parked"},
}


def defects_are_parked(evidence: Evidence) -> Iterator[Finding]:
    """What failed too often has a dead letter, and each of these an alert."""
    parked = {(letter.queue, item) for letter in evidence.dead_letters for item in _items(letter)}
    tries = Counter((failure.queue, failure.item) for failure in evidence.failures)
    for (queue, item), count in tries.items():
        if count > MOST_TRIES and (queue, item) not in parked:
            yield Finding(f"{item} in {queue} failed {count} times and was not parked")
    for letter in evidence.dead_letters:
        if letter.reason.startswith(FOR_GOOD) and not _is_alerted(letter, evidence):
            yield Finding(f"{letter.subject} in {letter.queue} was parked without an alert", letter.parked_at)


def nothing_too_large_is_recorded(evidence: Evidence) -> Iterator[Finding]:
    """A callback that no queue could carry is refused when it is recorded."""
    for intent in evidence.recorded(DREvent.CallbackRequested):
        try:
            encode_work(CallbackWork.of(intent))
        except WorkTooLarge as error:
            yield Finding(f"the callback {intent.kind} was recorded: {error}", intent.recorded_at)


def relay_moves_on(evidence: Evidence) -> Iterator[Finding]:
    """What fails delays the position of the relay for its tries only."""
    bound = _longest_delay(evidence.plan)
    if bound is None:
        return
    moved = iter([one for one in evidence.moved if one.reader == READER])
    last = next(moved, None)
    for position, saved_at in evidence.saved_at.items():
        while last is not None and last.position < position:
            last = next(moved, None)
        if last is not None and last.at > saved_at + bound:
            late_s = (last.at - saved_at).total_seconds()
            yield Finding(
                f"the relay was past position {position} only {late_s:.0f} s after its save", last.at
            )
            return


def _longest_delay(plan: StormPlan) -> timedelta | None:
    """None: there is no limit, since relays end or stop again and again, decide nothing for a while, or hold many
    callbacks of one utility, for which the position waits and nothing else."""
    at_failpoints = (
        plan.rates["process.freezes_at_failpoint"] or plan.rates["process.dies_at_failpoint"] > 0.05
    )
    if plan.is_flooded or at_failpoints or any("relay" in fault.worker for fault in plan.clocks_ahead):
        return None
    outages_s = sum(outage.for_s for outage in plan.outages if outage.what != "utility")
    faults = [fault for fault in plan.process_faults if "relay" in fault.worker]
    return MOST_DELAY + timedelta(seconds=outages_s + sum(fault.for_s or RESTARTS_S[1] for fault in faults))


def _is_alerted(letter: DeadLetter, evidence: Evidence) -> bool:
    names, subject = ALERTS[letter.queue], letter.subject
    about = {alert.subject for alert in evidence.alerts if alert.name in names}
    if letter.queue == "bms_command":
        return any(one.startswith(f"{subject}/") for one in about)
    return subject in about


def _items(letter: DeadLetter) -> Iterator[str]:
    """The ids of the work in the letter, as in the failures."""
    match letter.queue:
        case "bms_command":
            work = msgspec.json.decode(letter.body, type=BmsWork)
            yield from map(str, (work.command_id or work.facility_id, *work.more))
        case "callback":
            yield str(msgspec.json.decode(letter.body, type=CallbackWork).callback_id)
        case "saga_command":
            yield str(msgspec.json.decode(letter.body, type=SagaCommands).domain_event_id)
