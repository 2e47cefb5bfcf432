"""Invariants of work that fails for good: it is parked with an alert, and what it does not concern goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import msgspec

from application.callback import ParkedCallback
from application.command_bus.retry import MAX_TRIES
from application.operations.command_parking import SagaCommands
from application.ports.dispatch.requested_work import BmsWork
from application.ports.operations.dead_letters import DeadLetter
from domain.dr_event import DREvent
from interfaces.workers.decide.relay import READER
from tests.simulation.evidence import Evidence, Finding
from tests.simulation.runtime.processes import RESTARTS_S
from tests.simulation.scenario.plan import StormPlan

MOST_TRIES = 4 * MAX_TRIES
"""More than MAX_TRIES: a process may die while it parks the work, and a relay that loses its lock begins again."""
MOST_DELAY = timedelta(seconds=240)
"""Of the relay, in a system of USUAL facilities whose servers are there, and whose processes die and are restarted now
and then."""
USUAL = 3
MORE_FOR_EACH = timedelta(seconds=10)
"""For each further facility: one domain event leads to a command for each, and each save may be slow and repeated."""


def defects_are_parked(evidence: Evidence) -> Iterator[Finding]:
    """Work that failed too often has a dead letter. The relay counts its tries in memory: each process has its own."""
    parked = {(letter.queue, item) for letter in evidence.dead_letters for item in _items(letter, evidence)}
    tries = Counter(
        (failure.queue, failure.item, failure.process if failure.queue == "saga_command" else "all processes")
        for failure in evidence.failures
    )
    for (queue, item, process), count in tries.items():
        if count > MOST_TRIES and (queue, item) not in parked:
            yield Finding(f"{item} in {queue} failed {count} times in {process} and was not parked")


def relay_moves_on(evidence: Evidence) -> Iterator[Finding]:
    """What fails delays the position of the relay for its tries only."""
    bound = longest_delay(evidence.plan, "relay")
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


def longest_delay(plan: StormPlan, role: str) -> timedelta | None:
    """The longest time until the processes of a role (`relay`, `notify`) do what is to be done.

    None: there is no limit, since they end or stop again and again, decide nothing for a while, or hold many callbacks
    of one utility."""
    more = max(len(plan.facilities) - USUAL, 0)
    deaths_each_time = plan.rates["process.dies_at_failpoint"] * (1 + more / USUAL)
    at_failpoints = plan.rates["process.freezes_at_failpoint"] or deaths_each_time > 0.05
    if plan.is_flooded or at_failpoints or any(role in fault.worker for fault in plan.clocks_ahead):
        return None
    outages_s = sum(outage.for_s for outage in plan.outages if outage.what != "utility")
    faults = [fault for fault in plan.process_faults if role in fault.worker]
    return (
        MOST_DELAY
        + more * MORE_FOR_EACH
        + timedelta(seconds=outages_s + sum(fault.for_s or RESTARTS_S[1] for fault in faults))
    )


def _items(letter: DeadLetter, evidence: Evidence) -> Iterator[str]:
    """The ids of the work in the letter, as in the failures."""
    match letter.queue:
        case "bms_command":
            work = msgspec.json.decode(letter.body, type=BmsWork)
            yield from map(str, (work.command_id or work.facility_id, *work.more))
        case "callback":
            position = msgspec.json.decode(letter.body, type=ParkedCallback).position
            intent = evidence.entries[position - 1].domain_event
            if isinstance(intent, DREvent.CallbackRequested):
                yield str(intent.callback_id)
        case "saga_command":
            yield str(msgspec.json.decode(letter.body, type=SagaCommands).domain_event_id)
