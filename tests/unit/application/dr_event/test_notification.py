"""The decision on a notification: accepted, or rejected with its reasons."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.commands.dr_event import CancelDREvent, Judgement, JudgeNotification
from application.commands.facility import StartMaintenance
from domain.dr_event import DREvent
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.given_when_then import Scenario, fact, given
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    facility_entry,
    forecast,
    judge,
    notice,
    portfolio_commands,
)


@pytest.fixture
def scenario() -> Scenario:
    """Two facilities of 100 kW each."""
    return given().after(*portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")))


def codes(judgement: Judgement) -> list[tuple[str, str | None]]:
    return [(reason.code, reason.facility_id) for reason in judgement.reasons]


def test_a_feasible_notice_is_accepted_and_its_facilities_reserved_at_once(scenario: Scenario) -> None:
    outcome = scenario.when(judge())
    window = {"dr_event_id": DR_EVENT_ID, "starts_at": STARTS_AT, "ends_at": ENDS_AT}
    outcome.then(
        fact(DREvent.Opened, utility_id=UTILITY, utility_event_id=UTILITY_EVENT),
        fact(
            DREvent.Accepted,
            notice=notice(),
            program_version=1,
            capacity_kw=200.0,
            capacity_source="declared",
            shortfall_kw=0.0,
        ),
        fact(Facility.Reserved, originator_id=facility_stream_id("fac-001"), **window),
        fact(Facility.Reserved, originator_id=facility_stream_id("fac-002"), **window),
    )
    assert (outcome.reply.status, outcome.reply.dr_event_id) == ("accepted", DR_EVENT_ID)


def test_capacity_comes_from_the_forecasts_if_they_cover_the_window(scenario: Scenario) -> None:
    scenario.with_forecasts(forecast("fac-001", 60.0), forecast("fac-002", 5_000.0))
    outcome = scenario.when(judge())
    assert (outcome.reply.capacity_kw, outcome.reply.capacity_source) == (160.0, "forecast")


def test_capacity_between_the_acceptable_share_and_the_target_is_accepted_with_its_shortfall(
    scenario: Scenario,
) -> None:
    outcome = scenario.when(judge(target_kw=240.0))
    assert (outcome.reply.status, outcome.reply.shortfall_kw) == ("accepted", 40.0)


def test_an_infeasible_notice_is_rejected_with_every_reason_and_reserves_nothing(scenario: Scenario) -> None:
    scenario.after(StartMaintenance(facility_id="fac-002", reason="boiler"))
    outcome = scenario.when(judge(facility_ids=("fac-001", "fac-002", "fac-404", "fac-001")))
    outcome.then(fact(DREvent.Opened), fact(DREvent.Rejected, reasons=outcome.reply.reasons))

    assert outcome.reply.status == "rejected"
    found = codes(outcome.reply)
    assert ("facility_in_maintenance", "fac-002") in found
    assert ("unknown_facility", "fac-404") in found
    assert ("duplicate_facility", "fac-001") in found


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"starts_at": NOW - timedelta(hours=1)}, "past_start"),
        ({"ends_at": STARTS_AT - timedelta(hours=1)}, "end_before_start"),
        ({"ends_at": STARTS_AT + timedelta(minutes=5)}, "too_short"),
        ({"ends_at": STARTS_AT + timedelta(hours=9)}, "too_long"),
        ({"starts_at": NOW + timedelta(minutes=5), "ends_at": NOW + timedelta(hours=1)}, "notice_too_short"),
        ({"target_kw": 500.0}, "insufficient_capacity"),
        ({"target_kw": -1.0}, "target_not_positive"),
        ({"facility_ids": ()}, "no_facility"),
        ({"program_id": "winter-peak"}, "unknown_program"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_infeasibility_has_its_own_code(scenario: Scenario, changes: dict[str, Any], code: str) -> None:
    outcome = scenario.when(judge(**changes))
    outcome.then(fact(DREvent.Opened), fact(DREvent.Rejected))
    assert code in {name for name, _ in codes(outcome.reply)}


def test_the_program_of_another_utility_is_unknown(scenario: Scenario) -> None:
    stranger = JudgeNotification(utility_id="util-2", utility_event_id="x", notice=notice())
    assert codes(scenario.when(stranger).reply) == [("unknown_program", None)]


def test_a_facility_serves_one_dr_event_at_a_time(scenario: Scenario) -> None:
    scenario.after(judge())
    second = scenario.when(judge("second", facility_ids=("fac-002",), target_kw=50.0))
    assert codes(second.reply) == [("overlap", "fac-002")]


@pytest.mark.parametrize(("gap_min", "reasons"), [(0, ["overlap"]), (14, ["overlap"]), (15, [])])
def test_consecutive_dr_events_leave_time_to_restore_and_to_prepare(
    scenario: Scenario, gap_min: int, reasons: list[str]
) -> None:
    """The program prepares ten minutes ahead, and a building is restored within five."""
    scenario.after(judge())
    starts_at = ENDS_AT + timedelta(minutes=gap_min)
    window = {"starts_at": starts_at, "ends_at": starts_at + timedelta(hours=1)}
    second = scenario.when(judge("second", facility_ids=("fac-002",), target_kw=50.0, **window))
    assert [code for code, _ in codes(second.reply)] == reasons


def test_the_facilities_of_a_cancelled_dr_event_can_be_reserved_again(scenario: Scenario) -> None:
    scenario.after(judge(), CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    assert scenario.when(judge("second")).reply.status == "accepted"


def test_the_daily_limit_is_counted_by_local_days_of_the_facility() -> None:
    """21:00 UTC is 17:00 in New York; 03:00 UTC of the next day is still that day there."""
    scenario = given().after(*portfolio_commands(facility_entry("fac-001", dr_events_per_day=1)))
    one: dict[str, Any] = {"facility_ids": ("fac-001",), "target_kw": 50.0}
    scenario.after(judge(**one))
    same_day = {"starts_at": ENDS_AT + timedelta(hours=4), "ends_at": ENDS_AT + timedelta(hours=5)}
    assert codes(scenario.when(judge("second", **one, **same_day)).reply) == [("daily_limit", "fac-001")]
    next_day = {"starts_at": ENDS_AT + timedelta(hours=6), "ends_at": ENDS_AT + timedelta(hours=7)}
    assert scenario.when(judge("third", **one, **next_day)).reply.status == "accepted"


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        # New York's 1 November has 25 hours, until 05:00 UTC.
        (
            datetime(2026, 11, 2, 2, 30, tzinfo=UTC),
            datetime(2026, 11, 2, 4, 15, tzinfo=UTC),
            [("daily_limit", "fac-001")],
        ),
        (datetime(2026, 11, 2, 2, 30, tzinfo=UTC), datetime(2026, 11, 2, 5, 0, tzinfo=UTC), []),
        # Its 8 March has 23, until 04:00 UTC.
        (datetime(2026, 3, 9, 2, 30, tzinfo=UTC), datetime(2026, 3, 9, 4, 0, tzinfo=UTC), []),
        (
            datetime(2026, 3, 8, 5, 0, tzinfo=UTC),
            datetime(2026, 3, 9, 3, 0, tzinfo=UTC),
            [("daily_limit", "fac-001")],
        ),
    ],
)
def test_the_daily_limit_is_counted_by_local_days_of_23_and_25_hours(
    first: datetime, second: datetime, refused: list[tuple[str, str]]
) -> None:
    scenario = given().at(first - timedelta(days=1))
    scenario.after(*portfolio_commands(facility_entry("fac-001", dr_events_per_day=1)))

    def requested(name: str, starts_at: datetime) -> Judgement:
        ends_at = starts_at + timedelta(minutes=30)
        one = judge(name, facility_ids=("fac-001",), target_kw=50.0, starts_at=starts_at, ends_at=ends_at)
        reply: Judgement = scenario.when(one).reply
        return reply

    assert requested("first", first).status == "accepted"
    assert codes(requested("second", second)) == refused


def test_a_repeated_notification_changes_nothing_and_is_reported_as_repeated(scenario: Scenario) -> None:
    scenario.after(judge())
    again = scenario.when(judge(target_kw=1.0))
    again.then()
    assert (again.reply.status, again.reply.capacity_kw) == ("already_known", 200.0)


def test_a_rejected_dr_event_is_judged_again(scenario: Scenario) -> None:
    scenario.after(StartMaintenance(facility_id="fac-002", reason="boiler"))
    assert scenario.when(judge()).reply.status == "rejected"

    outcome = scenario.when(judge(facility_ids=("fac-001",), target_kw=80.0))
    outcome.then(
        fact(DREvent.Accepted, originator_id=DR_EVENT_ID, capacity_kw=100.0), fact(Facility.Reserved)
    )
    state = scenario.store.load(DREvent, DR_EVENT_ID).state
    assert (state.status, state.reasons) == ("accepted", ())


def test_two_rejections_are_recorded_separately_with_their_reasons(scenario: Scenario) -> None:
    scenario.when(judge(facility_ids=("fac-404",)))
    outcome = scenario.when(judge(target_kw=9_999.0))
    outcome.then(fact(DREvent.Rejected, originator_version=3))
    assert codes(outcome.reply) == [("insufficient_capacity", None)]
