from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.dr_event.feasibility import (
    DREventRequest,
    FacilityFacts,
    Feasibility,
    HeldWindow,
    ProgramTerms,
    assess_feasibility,
)
from domain.time_series.windows import InvalidWindow, TimeWindow

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
START = NOW + timedelta(hours=2)
OURS, THEIRS = UUID(int=1), UUID(int=2)
TERMS = ProgramTerms(
    notification_lead_s=600, minimum_duration_s=900, maximum_duration_s=14_400, acceptable_share=0.8
)
REQUEST = DREventRequest(
    dr_event_id=OURS,
    starts_at=START,
    ends_at=START + timedelta(hours=2),
    target_kw=100,
    facility_ids=("fac-001", "fac-002"),
)


def facts(facility_id: str, **changes: object) -> FacilityFacts:
    base = FacilityFacts(facility_id=facility_id, status="active", enrolled=True, capacity_kw=60)
    return replace(base, **changes)


def facilities(*changed: FacilityFacts) -> Mapping[str, FacilityFacts]:
    known = {f: facts(f) for f in ("fac-001", "fac-002")}
    return known | {f.facility_id: f for f in changed}


def judged(request: DREventRequest = REQUEST, *changed: FacilityFacts) -> Feasibility:
    return assess_feasibility(request, now=NOW, program=TERMS, facilities=facilities(*changed))


def codes(found: Feasibility) -> list[tuple[str, str | None]]:
    return [(reason.code, reason.facility_id) for reason in found.reasons]


def test_a_request_that_meets_every_term_is_feasible() -> None:
    found = judged()
    assert not found.reasons
    assert (found.reasons, found.capacity_kw, found.shortfall_kw) == ((), 120, 0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"starts_at": NOW - timedelta(seconds=1), "ends_at": START}, "past_start"),
        ({"starts_at": NOW}, "past_start"),
        ({"starts_at": NOW + timedelta(seconds=599)}, "notice_too_short"),
        ({"ends_at": START}, "end_before_start"),
        ({"ends_at": START - timedelta(hours=1)}, "end_before_start"),
        ({"ends_at": START + timedelta(seconds=899)}, "too_short"),
        ({"ends_at": START + timedelta(seconds=14_401)}, "too_long"),
        (
            {"starts_at": START + timedelta(minutes=5), "ends_at": START + timedelta(minutes=20)},
            "no_whole_interval",
        ),
        ({"target_kw": 0.0}, "target_not_positive"),
        ({"target_kw": float("nan")}, "target_not_positive"),
        ({"target_kw": float("inf")}, "target_not_positive"),
        ({"facility_ids": ()}, "no_facility"),
    ],
)
def test_each_fault_of_the_request_has_its_own_code(change: dict[str, object], code: str) -> None:
    assert codes(judged(replace(REQUEST, **change))) == [(code, None)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "maintenance"}, "facility_in_maintenance"),
        ({"status": "deactivated"}, "facility_deactivated"),
        ({"enrolled": False}, "not_enrolled"),
        ({"longest_dr_event_s": 3600.0}, "too_long"),
        ({"notification_lead_s": 86_400.0}, "notice_too_short"),
        ({"dr_events_that_day": 2, "dr_events_per_day": 2}, "daily_limit"),
        ({"dr_events_that_season": 40, "dr_events_per_season": 40}, "season_limit"),
        ({"violations": {"weekdays_only": "2026-07-18 is a Saturday"}}, "weekdays_only"),
        ({"violations": {"outside_hours": "10:00 to 12:00 is not inside"}}, "outside_hours"),
    ],
)
def test_each_fault_of_a_facility_has_its_own_code(change: dict[str, object], code: str) -> None:
    # The other facility gives only 60 of 100 kW, so that the missing capacity is a second reason.
    found = judged(REQUEST, facts("fac-002", **change))
    assert codes(found) == [(code, "fac-002"), ("insufficient_capacity", None)]
    assert (found.capacity_kw, found.shortfall_kw) == (60, 40)


@pytest.mark.parametrize(
    ("notice_s", "duration_s"),
    [(600, 3600), (7200, 900), (7200, 14_400)],
    ids=["notice", "shortest", "longest"],
)
def test_a_request_exactly_at_a_limit_is_allowed(notice_s: int, duration_s: int) -> None:
    starts_at = NOW + timedelta(seconds=notice_s)
    ends_at = starts_at + timedelta(seconds=duration_s)
    assert judged(replace(REQUEST, starts_at=starts_at, ends_at=ends_at)).reasons == ()


def test_unknown_and_repeated_ids_are_named_once_each() -> None:
    ids = ("fac-001", "nope", "fac-001", "nope", "fac-002")
    found = judged(replace(REQUEST, facility_ids=ids))
    assert codes(found) == [
        ("duplicate_facility", "fac-001"),
        ("duplicate_facility", "nope"),
        ("unknown_facility", "nope"),
    ]
    assert found.capacity_kw == 120


def test_a_facility_serves_one_dr_event_at_a_time() -> None:
    def held(dr_event_id: UUID, start_h: float, end_h: float) -> HeldWindow:
        return HeldWindow(
            dr_event_id, TimeWindow(START + timedelta(hours=start_h), START + timedelta(hours=end_h))
        )

    excluding = facts("fac-001", reservations=(held(THEIRS, 1.9, 3), held(THEIRS, -1, 0.1)))
    assert codes(judged(REQUEST, excluding))[:2] == [("overlap", "fac-001")] * 2
    yielding = facts("fac-001", reservations=(replace(held(THEIRS, 1.9, 3), yields=True),))
    assert not judged(REQUEST, yielding).reasons


def test_an_overlap_does_not_reveal_the_other_dr_event() -> None:
    held = HeldWindow(THEIRS, TimeWindow(START, START + timedelta(hours=1)))
    detail = judged(REQUEST, facts("fac-001", reservations=(held,))).reasons[0].detail
    assert str(THEIRS) not in detail
    assert "2026-07-14T14:00:00+00:00" in detail


def test_every_reason_is_reported_at_once() -> None:
    request = replace(
        REQUEST,
        starts_at=NOW - timedelta(hours=1),
        ends_at=NOW - timedelta(hours=2),
        target_kw=-1.0,
        facility_ids=("fac-001", "fac-001", "nope", "fac-002"),
    )
    found = judged(request, facts("fac-002", status="maintenance", enrolled=False))
    assert codes(found) == [
        ("end_before_start", None),
        ("past_start", None),
        ("target_not_positive", None),
        ("duplicate_facility", "fac-001"),
        ("unknown_facility", "nope"),
        ("facility_in_maintenance", "fac-002"),
        ("not_enrolled", "fac-002"),
    ]


@pytest.mark.parametrize(
    ("target_kw", "feasible", "shortfall_kw"),
    [(120.0, True, 0.0), (130.0, True, 10.0), (150.0, True, 30.0), (150.01, False, 30.01)],
)
def test_the_shortfall_of_the_capacity_against_the_target_is_stated(
    target_kw: float, feasible: bool, shortfall_kw: float
) -> None:
    found = judged(replace(REQUEST, target_kw=target_kw))
    assert (not found.reasons) is feasible
    assert found.shortfall_kw == pytest.approx(shortfall_kw)
    if not feasible:
        assert codes(found) == [("insufficient_capacity", None)]


def test_if_every_facility_is_refused_only_the_reasons_of_facilities_are_given() -> None:
    found = judged(replace(REQUEST, facility_ids=("fac-001",)), facts("fac-001", status="maintenance"))
    assert codes(found) == [("facility_in_maintenance", "fac-001")]


def test_a_degraded_forecast_is_reported_and_the_request_stays_feasible() -> None:
    stale = facts("fac-002", capacity_source="forecast", data_quality="degraded_stale_data")
    found = judged(REQUEST, stale, facts("fac-001", capacity_source="forecast", data_quality="full"))
    assert not found.reasons
    assert found.degraded == ("fac-002",)


def test_a_naive_time_is_a_malformed_request() -> None:
    with pytest.raises(InvalidWindow):
        judged(replace(REQUEST, starts_at=START.replace(tzinfo=None)))
