from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.dr_event.feasibility import (
    DREventRequest,
    FacilityFacts,
    HeldWindow,
    ProgramTerms,
    assess_feasibility,
)
from domain.time_series.windows import TimeWindow

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
TERMS = ProgramTerms(
    notification_lead_s=600, minimum_duration_s=900, maximum_duration_s=14_400, acceptable_share=0.8
)
IDS = ("a", "b", "c", "d")


@st.composite
def facts(draw: st.DrawFn, facility_id: str) -> FacilityFacts:
    held = []
    if draw(st.booleans()):
        starts_at = NOW + timedelta(minutes=draw(st.integers(-300, 600)))
        ends_at = starts_at + timedelta(minutes=draw(st.integers(1, 300)))
        held.append(HeldWindow(UUID(int=draw(st.integers(1, 2))), TimeWindow(starts_at, ends_at)))
    return FacilityFacts(
        facility_id=facility_id,
        status=draw(st.sampled_from(["active", "active", "active", "maintenance", "deactivated"])),
        enrolled=draw(st.sampled_from([True, True, True, False])),
        capacity_kw=draw(st.floats(0, 100)),
        reservations=tuple(held),
        dr_events_that_day=draw(st.integers(0, 2)),
        dr_events_per_day=2,
    )


@st.composite
def requests(draw: st.DrawFn) -> DREventRequest:
    starts_at = NOW + timedelta(minutes=draw(st.integers(-60, 300)))
    return DREventRequest(
        dr_event_id=UUID(int=1),
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=draw(st.integers(-30, 300))),
        target_kw=draw(st.floats(-10, 300)),
        facility_ids=tuple(draw(st.lists(st.sampled_from(IDS), max_size=6))),
    )


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, FacilityFacts]:
    return {i: draw(facts(i)) for i in draw(st.sets(st.sampled_from(IDS)))}


@given(requests(), worlds())
def test_a_feasible_request_violates_no_rule(
    request: DREventRequest, world: dict[str, FacilityFacts]
) -> None:
    found = assess_feasibility(request, now=NOW, program=TERMS, facilities=world)
    if found.reasons:
        return
    assert NOW + timedelta(seconds=600) <= request.starts_at < request.ends_at
    assert 900 <= (request.ends_at - request.starts_at).total_seconds() <= 14_400
    assert len(set(request.facility_ids)) == len(request.facility_ids) > 0
    for facility_id in request.facility_ids:
        known = world[facility_id]
        assert known.status == "active"
        assert known.enrolled
        assert known.dr_events_that_day < known.dr_events_per_day
        assert not known.reservations
    assert found.capacity_kw >= 0.8 * request.target_kw - 1e-3
    assert abs(found.shortfall_kw - max(0.0, request.target_kw - found.capacity_kw)) < 1e-3


@given(requests(), worlds())
def test_the_reasons_of_a_refusal_are_listed_without_duplicates(
    request: DREventRequest, world: dict[str, FacilityFacts]
) -> None:
    found = assess_feasibility(request, now=NOW, program=TERMS, facilities=world)
    named = [(r.code, r.facility_id, r.detail) for r in found.reasons]
    assert len(set(named)) == len(named)
    assert {r.facility_id for r in found.reasons} <= {None, *request.facility_ids}
    ready = [
        i
        for i in set(request.facility_ids)
        if i in world and not any(r.facility_id == i for r in found.reasons)
    ]
    repeated = [r.facility_id for r in found.reasons if r.code == "duplicate_facility"]
    assert found.capacity_kw >= sum(world[i].capacity_kw for i in ready) - 1e-6
    assert set(repeated) == {i for i in request.facility_ids if request.facility_ids.count(i) > 1}
