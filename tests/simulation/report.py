"""A seed as a person reads it: what was planned, and then the log and everything around it in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from domain.dispatch import Dispatch
from projections.audit.descriptions import description_of
from tests.simulation.event_trace import Line, Story
from tests.simulation.evidence import Evidence
from tests.simulation.scenario.plan import StormPlan
from tests.simulation.scenario.scenario_requests import Wish


def told(evidence: Evidence, story: Story) -> Iterator[str]:
    """One line for each thing that happened."""
    yield from _planned(evidence.plan)
    lines = [*story.lines, *_recorded(evidence)]
    for line in sorted(lines, key=lambda line: line.at):
        yield f"{line.at:%H:%M:%S.%f}"[:-3] + f"  {line.who:<10} {line.what}"


def _planned(plan: StormPlan) -> Iterator[str]:
    yield f"seed {plan.seed}: clock at {plan.speed:g} times, clocks differ by up to {plan.skew_s:g} s"
    program = plan.programs[0]
    yield f"program: {program.shortfall_policy} on shortfall, degraded forecasts {program.forecast_guardrail}"
    for facility in plan.facilities:
        faults = {name: rate for name, rate in plan.bms_faults[facility.facility_id].items() if rate}
        zones = ", ".join(zone.zone_id for zone in facility.zones)
        yield f"{facility.facility_id}: {zones}; {facility.tz}; {facility.bms.profile}; {faults or 'its BMS is sound'}"
    for wish in plan.wishes:
        at = plan.epoch + timedelta(seconds=wish.at_s)
        yield f"{at:%H:%M:%S} {wish.by}: {type(wish.command).__name__} {_window(wish)}".rstrip()
    yield f"strike: {', '.join(f'{name} {rate:g}' for name, rate in plan.rates.items() if rate) or 'nothing'}"


def _recorded(evidence: Evidence) -> Iterator[Line]:
    for entry in evidence.entries:
        fact = entry.domain_event
        facility_id = fact.facility_id if isinstance(fact, Dispatch.Event) else None
        yield Line(
            fact.recorded_at, "log", f"#{entry.position} {description_of(fact, facility_id)} [{fact.actor}]"
        )


def _window(wish: Wish) -> str:
    notice = getattr(wish.command, "notice", None)
    if notice is None:
        return ""
    window = f"{notice.starts_at:%H:%M} to {notice.ends_at:%H:%M}"
    return f"{notice.target_kw:g} kW of {', '.join(notice.facility_ids)}, {window}"
