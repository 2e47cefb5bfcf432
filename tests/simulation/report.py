"""The trace of a seed as text: the plan, then the log and all other events in time order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from domain.dispatch import Dispatch
from projections.audit.descriptions import description_of
from tests.simulation.event_trace import EventTrace, TraceLine
from tests.simulation.evidence import Evidence
from tests.simulation.scenario.plan import StormPlan
from tests.simulation.scenario.scenario_requests import ScenarioRequest


def trace_lines(evidence: Evidence, trace: EventTrace) -> Iterator[str]:
    """The plan, then one line for each event."""
    yield from _planned(evidence.plan)
    lines = [*trace.lines, *_recorded(evidence)]
    for line in sorted(lines, key=lambda line: line.at):
        yield f"{line.at:%H:%M:%S.%f}"[:-3] + f"  {line.who:<10} {line.what}"


def _planned(plan: StormPlan) -> Iterator[str]:
    yield f"seed {plan.seed}: clock at {plan.speed:g} times, clocks differ by up to {plan.skew_s:g} s"
    program = plan.programs[0]
    yield f"program: {program.shortfall_policy} on shortfall, degraded forecasts {program.forecast_guardrail}"
    for facility in plan.facilities:
        faults = {name: rate for name, rate in plan.bms_faults[facility.facility_id].items() if rate}
        zones = ", ".join(zone.zone_id for zone in facility.zones)
        yield f"{facility.facility_id}: {zones}; {facility.tz}; {facility.bms.profile}; {faults or 'no BMS faults'}"
    for request in plan.requests:
        at = plan.epoch + timedelta(seconds=request.at_s)
        yield f"{at:%H:%M:%S} {request.by}: {type(request.command).__name__} {_window(request)}".rstrip()
    yield f"faults: {', '.join(f'{name} {rate:g}' for name, rate in plan.rates.items() if rate) or 'none'}"


def _recorded(evidence: Evidence) -> Iterator[TraceLine]:
    for entry in evidence.entries:
        domain_event = entry.domain_event
        facility_id = domain_event.facility_id if isinstance(domain_event, Dispatch.Event) else None
        yield TraceLine(
            domain_event.recorded_at,
            "log",
            f"#{entry.position} {description_of(domain_event, facility_id)} [{domain_event.actor}]",
        )


def _window(request: ScenarioRequest) -> str:
    notice = getattr(request.command, "notice", None)
    if notice is None:
        return ""
    window = f"{notice.starts_at:%H:%M} to {notice.ends_at:%H:%M}"
    return f"{notice.target_kw:g} kW of {', '.join(notice.facility_ids)}, {window}"
