"""Invariants of the clocks: a process whose clock is far ahead decides nothing, and the log is not dated ahead."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from application.operations.clock_monitor import MAX_SKEW_S, MEASURE_EVERY_S
from tests.simulation.evidence import Evidence, Finding
from tests.simulation.scenario.plan import ClockFault, StormPlan

TOO_LATE = "not done by"
"""How the reason of a command begins that was given up at its deadline."""
SLOW = timedelta(seconds=10)
"""Clock seconds between a decision and its save, at most."""


def nothing_dated_ahead(evidence: Evidence) -> Iterator[Finding]:
    bound = timedelta(seconds=MAX_SKEW_S * evidence.plan.speed, milliseconds=1)
    for entry in evidence.entries:
        saved_at, domain_event = evidence.saved_at.get(entry.position), entry.domain_event
        if saved_at is not None and domain_event.recorded_at > saved_at + bound:
            ahead_s = (domain_event.recorded_at - saved_at).total_seconds()
            yield Finding(
                f"{type(domain_event).__qualname__} was saved {ahead_s:.0f} s before its time", saved_at
            )
    for letter in evidence.dead_letters:
        if letter.reason.startswith(TOO_LATE) and letter.parked_at > evidence.ended_at:
            yield Finding(f"a command of {letter.subject} was given up as late before its time")


def wrong_clocks_decide_nothing(evidence: Evidence) -> Iterator[Finding]:
    """Before its next measurement a process may try to save what the database then refuses."""
    for refused in evidence.dated_ahead:
        after_s = (refused.at - evidence.plan.epoch).total_seconds()
        for fault in evidence.plan.clocks_ahead:
            noticed_s = fault.at_s + _unnoticed(evidence.plan).total_seconds()
            if fault.worker == refused.process and noticed_s < after_s < fault.until_s:
                yield Finding(_text(fault, after_s), refused.at)


def _unnoticed(plan: StormPlan) -> timedelta:
    """The longest time until a wrong clock is noticed. While the database is away no clock can be measured."""
    outages = sum(outage.what == "database" for outage in plan.outages)
    return timedelta(seconds=(1 + outages) * MEASURE_EVERY_S * plan.speed) + SLOW


def _text(fault: ClockFault, after_s: float) -> str:
    late = f"{after_s - fault.at_s:.0f} s after its clock was set {fault.ahead_wall_s:g} s ahead"
    return f"{fault.worker} still decided {late}"
