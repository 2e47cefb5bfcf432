"""Invariants between utilities: none waits for another that floods the system, and none learns of another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from domain.dr_event import DREvent
from tests.simulation.evidence import Evidence, Finding
from tests.simulation.scenario.hostile_utility import HOSTILE, HOSTILE_FACILITY, HOSTILE_PROGRAM

SOON_S, SOON_WALL_S = 60.0, 3.0
"""Clock seconds, and wall seconds, in which a callback of a calm system is sent, and a DR event planned, for the first
time."""


def none_waits_for_another(evidence: Evidence) -> Iterator[Finding]:
    """Checked where nothing else delays a utility but the flood of another one."""
    if not (evidence.plan.is_flooded and evidence.plan.is_calm):
        return
    bound = timedelta(seconds=SOON_S + SOON_WALL_S * evidence.plan.speed)
    tried: dict[UUID, datetime] = {}
    for one in evidence.tried:
        tried.setdefault(one.callback_id, one.at)
    for requested in evidence.recorded(DREvent.CallbackRequested):
        at = tried.get(requested.callback_id, evidence.ended_at)
        if requested.tenant != HOSTILE and at > requested.recorded_at + bound:
            late_s = (at - requested.recorded_at).total_seconds()
            yield Finding(f"{requested.tenant} was called {late_s:.0f} s after {requested.kind}", at)
    yield from _planned_late(evidence, bound)


def none_learns_of_another(evidence: Evidence) -> Iterator[Finding]:
    """A callback goes to the utility of its DR event, and names nothing of another utility."""
    owners = {state.dr_event_id: state.utility_id for state in evidence.dr_events()}
    of_callback = {c.callback_id: c.originator_id for c in evidence.recorded(DREvent.CallbackRequested)}
    utilities = {program.utility_id for program in evidence.plan.programs}
    programs = {program.program_id: program.utility_id for program in evidence.plan.programs}
    for one in evidence.tried:
        owner = owners.get(of_callback.get(one.callback_id, UUID(int=0)))
        if owner != one.utility_id:
            yield Finding(f"a callback of {owner} was sent to {one.utility_id}", one.at)
        foreign = {utility for utility in utilities if utility != one.utility_id}
        foreign |= {program for program, utility in programs.items() if utility != one.utility_id}
        foreign |= {str(dr_event_id) for dr_event_id, utility in owners.items() if utility != one.utility_id}
        foreign |= set() if one.utility_id == HOSTILE else {HOSTILE_FACILITY, HOSTILE_PROGRAM}
        for name in sorted(foreign):
            if name in one.body:
                yield Finding(f"{one.utility_id} was told of {name}", one.at)


def _planned_late(evidence: Evidence, bound: timedelta) -> Iterator[Finding]:
    """The first plan of each DR event, or the refusal to plan it."""
    waiting: dict[UUID, DREvent.Accepted] = {}
    for domain_event in evidence.recorded(DREvent.Event):
        if isinstance(domain_event, DREvent.Accepted) and domain_event.tenant != HOSTILE:
            waiting[domain_event.originator_id] = domain_event
        elif isinstance(domain_event, DREvent.Scheduled | DREvent.PlanningRefused | DREvent.Cancelled):
            accepted = waiting.pop(domain_event.originator_id, None)
            if accepted is not None and domain_event.recorded_at > accepted.recorded_at + bound:
                late_s = (domain_event.recorded_at - accepted.recorded_at).total_seconds()
                yield Finding(
                    f"a DR event of {accepted.tenant} was planned {late_s:.0f} s after it was accepted"
                )
