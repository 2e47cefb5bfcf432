"""Bounds on an operator's entry, and what happens to facilities that are larger (H4, L8)."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from eventsourcing.utils import get_topic

from application.commands.dispatch import PrepareDispatch
from application.event_store.event_mapper import encode_state
from application.facility.portfolio_validation import PortfolioInvalid, read_portfolio
from application.ports.event_store.event_store import EVENT_OVERHEAD_BYTES, ONE_DECISION
from domain.dispatch import Dispatch, ZonePlan
from domain.dispatch.state import Setpoint
from domain.dr_event import DREvent
from domain.errors import FacilityTooLarge
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import MOST_METERS, MOST_ZONES, Facility, Limits, Zone
from domain.identifiers import dispatch_id
from tests.given_when_then import given
from tests.in_process_system import FORECAST_CYCLES, InProcessSystem
from tests.sample_values import (
    BMS,
    DR_EVENT_ID,
    ENDS_AT,
    PROGRAM,
    STARTS_AT,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
    provenance,
    zone_entry,
)

LONGEST_ID = "z" * 59
MANY = 400
ENTRY: dict[str, Any] = {
    "facility_id": "fac-001",
    "meters": [{"meter_id": "main"}],
    "zones": [{"zone_id": "hall", "curtailable_kw": 10}],
    "bms": {"address": "http://127.0.0.1:1/bms"},
    "programs": ["summer-peak"],
}


def problems_of(**changes: Any) -> str:
    with pytest.raises(PortfolioInvalid) as refused:
        read_portfolio(msgspec.json.encode({"facilities": [ENTRY | changes]}))
    return str(refused.value)


@pytest.mark.parametrize(
    ("field", "entries", "most"),
    [
        ("zones", [{"zone_id": f"z-{n}", "curtailable_kw": 1} for n in range(MANY)], MOST_ZONES),
        ("meters", [{"meter_id": f"m-{n}"} for n in range(MANY)], MOST_METERS),
        ("programs", [f"p-{n}" for n in range(MANY)], 50),
    ],
)
def test_an_entry_has_a_bound_on_what_it_lists(field: str, entries: list[Any], most: int) -> None:
    assert f"facilities[0].{field}: Expected `array` of length <= {most}, got {MANY}" in problems_of(
        **{field: entries}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minimum_off_s", 10**18),
        ("minimum_off_s", -1),
        ("longest_curtailment_s", -1),
        ("rebound_ramp_s", 10**9),
        ("comfort_limit_c", 1e300),
        ("curtailable_kw", -5),
    ],
)
def test_the_numbers_of_a_zone_are_bounded(name: str, value: float) -> None:
    zone = {"zone_id": "hall", "curtailable_kw": 10, name: value}
    assert f"facilities[0].zones[0].{name}: Expected" in problems_of(zones=[zone])


@pytest.mark.parametrize("name", ["longest_dr_event_s", "notification_lead_s", "dr_events_per_day"])
def test_the_limits_of_a_facility_are_bounded(name: str) -> None:
    assert f"facilities[0].{name}: Expected" in problems_of(**{name: 10**18})
    assert f"facilities[0].{name}: Expected" in problems_of(**{name: -1})


def test_the_domain_refuses_a_larger_facility_too() -> None:
    zones = tuple(zone_entry(f"z-{n}") for n in range(MOST_ZONES + 1))
    (*program, register) = portfolio_commands(facility_entry("fac-001", zones=zones))
    given().after(*program).when(register).refused(FacilityTooLarge, saying="at most 64")


def test_every_decision_on_the_largest_facility_fits_into_one_save() -> None:
    """From the plan to the restore, with the longest ids, and after all zones have drifted."""
    there = planned("f" * 63, [f"{LONGEST_ID}{number:04}" for number in range(MOST_ZONES)])
    until = STARTS_AT + timedelta(minutes=15)
    fits(there, lambda: there.prepare(provenance()))
    succeed(there)
    fits(there, lambda: there.commit(provenance(STARTS_AT), not_after=until))
    succeed(there)
    drifted = dict.fromkeys(there.state.zones, (Setpoint(value=22.0, unit="celsius"), False))
    fits(there, lambda: there.reconcile(provenance(STARTS_AT), states=drifted, not_after=until))
    assert sum(record.state == "requested" for record in there.state.commands.values()) == MOST_ZONES
    succeed(there)
    fits(there, lambda: there.leave(provenance(STARTS_AT), cause="opted_out", reason="x" * 1_000))


def recorded(aggregate: Any) -> list[DomainEvent]:
    return list(aggregate.collect_events())


def fits(dispatch: Dispatch, decide: Callable[[], object]) -> None:
    recorded(dispatch)
    decide()
    events = recorded(dispatch)
    size = sum(len(encode_state(one)) + len(get_topic(type(one))) + EVENT_OVERHEAD_BYTES for one in events)
    assert len(events) >= MOST_ZONES
    ONE_DECISION.check(len(events), size)


def succeed(dispatch: Dispatch) -> None:
    """Every open command has succeeded."""
    for record in list(dispatch.state.commands.values()):
        if record.state == "requested":
            dispatch.command_succeeded(
                provenance(STARTS_AT),
                command_id=record.command.command_id,
                executed_at=STARTS_AT,
                setpoint=Setpoint(value=25.0, unit="celsius"),
                learned_by="answer",
            )


def planned(facility_id: str, zone_ids: Iterable[str]) -> Dispatch:
    return Dispatch.plan(
        provenance(),
        dr_event_id=DR_EVENT_ID,
        facility_id=facility_id,
        plan_revision=1,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        expires_at=ENDS_AT + timedelta(minutes=30),
        target_kw=400.0,
        bms=BMS,
        zones=tuple(
            ZonePlan(
                zone_id=zone_id,
                target_kw=1.0,
                strategy="setpoint_offset",
                magnitude=1.0,
                comfort_limit_c=28.0,
                minimum_off_s=0,
                rebound_ramp_s=0,
            )
            for zone_id in zone_ids
        ),
        forecast_id=None,
        data_quality="full",
    )


def _judge(facility_id: str, target_kw: float) -> Any:
    return judge(facility_ids=(facility_id,), target_kw=target_kw)


def large_facility(facility_id: str) -> Facility:
    """As it was recorded when an entry had no bound."""
    facility = Facility.register(
        provenance(),
        facility_id=facility_id,
        tz="UTC",
        latitude=0.0,
        longitude=0.0,
        weather_cell="default",
    )
    for number in range(MANY):
        zone = Zone(
            zone_id=f"z-{number:03}",
            curtailable_kw=1.0 + number,
            strategy="setpoint_offset",
            max_magnitude=3.0,
            comfort_limit_c=28.0,
            minimum_off_s=0,
            longest_curtailment_s=14_400,
            rebound_ramp_s=0,
        )
        facility.record(Facility.ZoneDefined, provenance(), zone=zone)
    facility.record(Facility.BmsConnected, provenance(), bms=BMS)
    facility.record(Facility.EnrolledInProgram, provenance(), program_id=PROGRAM, kw=None, level_kw=None)
    limits = Limits(
        dr_events_per_day=5, dr_events_per_season=40, longest_dr_event_s=14_400, notification_lead_s=0
    )
    facility.record(Facility.LimitsAgreed, provenance(), limits=limits)
    return facility


def test_a_facility_from_before_the_bound_serves_with_its_largest_zones() -> None:
    there = InProcessSystem.registered("fac-001")
    there.scenario.store.append(recorded(large_facility("fac-large")))
    for cycle in FORECAST_CYCLES:
        there.scenario.with_forecasts(forecast("fac-large", 1e6, at=cycle))
    there.scenario.after(_judge("fac-large", 20_000.0))
    there.relay_all()
    planned = there.dispatch("fac-large")
    assert len(planned.zones) == MOST_ZONES
    assert f"z-{MANY - 1}" in planned.zones


def test_a_plan_from_before_the_bound_fails_for_its_facility_only() -> None:
    """The relay goes on: a save that is too large stopped it for everybody."""
    there = InProcessSystem.accepted("fac-001", "fac-002").until("preparing")
    large = planned("fac-large", [f"z-{number:03}" for number in range(MANY)])
    there.scenario.store.append(recorded(large))
    outcome = there.scenario.when(PrepareDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-large"))
    failed = [e for e in outcome.recorded if isinstance(e, Dispatch.Failed)]
    assert [e.originator_id for e in failed] == [dispatch_id(DR_EVENT_ID, "fac-large")]
    assert "at most 64 are commanded" in failed[0].reason
    assert not any(isinstance(e, Dispatch.BmsCommandRequested) for e in outcome.recorded)
    assert not any(isinstance(e, DREvent.BatchAborted) for e in there.recorded())
