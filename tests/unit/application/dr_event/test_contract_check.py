"""A notice outside of the contract, or one that can never be measured, is refused with the reason."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.commands.dr_event import ModifyDREvent
from application.facility.portfolio_entries import BaselineEntry, EnrolmentEntry
from domain.baseline import BaselineParameters
from domain.dr_event import Notice
from domain.program import Hours, Season, WindowTerms
from tests.given_when_then import Scenario, given
from tests.sample_values import (
    ENDS_AT,
    PROGRAM,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    facility_entry,
    judge,
    notice,
    portfolio_commands,
)

BERLIN = facility_entry("fac-001", tz="Europe/Berlin")
NEW_YORK = facility_entry("fac-002")
FIRM = "firm-service-level"
ONLY_NEW_YORK: dict[str, Any] = {"facility_ids": ("fac-002",), "target_kw": 50.0}
SUNDAY = {
    "starts_at": datetime(2026, 7, 19, 18, tzinfo=UTC),
    "ends_at": datetime(2026, 7, 19, 20, tzinfo=UTC),
}


def refusals(scenario: Scenario, **changes: Any) -> list[tuple[str, str | None]]:
    reply = scenario.when(judge(**changes)).reply
    found = [(reason.code, reason.facility_id) for reason in reply.reasons]
    return [one for one in found if one[0] != "insufficient_capacity"]


def agreed(**terms: Any) -> Scenario:
    return given().after(*portfolio_commands(BERLIN, NEW_YORK, **terms))


@pytest.mark.parametrize("method", ["high-4-of-5", "high-5-of-10", "mid-8-of-10"])
def test_a_method_of_weekdays_refuses_a_sunday(method: str) -> None:
    found = refusals(agreed(baseline_method=method), **SUNDAY)
    assert found == [("weekdays_only", "fac-001"), ("weekdays_only", "fac-002")]
    assert refusals(agreed(baseline_method=method)) == []


@pytest.mark.parametrize("method", ["caiso-10-in-10", "x-of-y", "meter-before-meter-after"])
def test_other_methods_take_a_sunday(method: str) -> None:
    assert refusals(agreed(baseline_method=method), **SUNDAY) == []


def test_a_method_of_weekdays_refuses_a_holiday_of_the_region() -> None:
    german_unity = {
        "starts_at": datetime(2028, 10, 3, 12, tzinfo=UTC),
        "ends_at": datetime(2028, 10, 3, 14, tzinfo=UTC),
    }
    assert refusals(agreed(baseline_method="high-4-of-5"), **german_unity) == [("weekdays_only", "fac-001")]


def test_the_holidays_of_the_program_go_before_those_of_the_region() -> None:
    day = STARTS_AT.date()
    own = agreed(baseline_method="high-4-of-5", holidays=(day,))
    assert refusals(own) == [("weekdays_only", "fac-001"), ("weekdays_only", "fac-002")]
    german_unity = {
        "starts_at": datetime(2028, 10, 3, 12, tzinfo=UTC),
        "ends_at": datetime(2028, 10, 3, 14, tzinfo=UTC),
    }
    assert refusals(own, **german_unity) == []


def test_the_day_is_that_of_the_first_whole_quarter_hour() -> None:
    sunday_evening = {
        "starts_at": datetime(2026, 7, 20, 3, 50, tzinfo=UTC),  # 23:50 of Sunday in New York
        "ends_at": datetime(2026, 7, 20, 6, tzinfo=UTC),
        "facility_ids": ("fac-002",),
        "target_kw": 50.0,
    }
    assert refusals(agreed(baseline_method="high-4-of-5"), **sunday_evening) == []


def test_a_window_without_a_whole_quarter_hour_is_refused() -> None:
    starts_at = STARTS_AT + timedelta(minutes=5)
    found = refusals(agreed(), starts_at=starts_at, ends_at=starts_at + timedelta(minutes=15))
    assert found == [("no_whole_interval", None)]


def test_a_firm_service_level_needs_a_level_of_the_program_or_of_the_facility() -> None:
    assert refusals(agreed(baseline_method=FIRM)) == [
        ("no_service_level", "fac-001"),
        ("no_service_level", "fac-002"),
    ]
    level = BaselineEntry(method=FIRM, parameters=BaselineParameters(level_kw=400.0))
    assert refusals(agreed(baseline=level)) == []
    own = facility_entry("fac-002", programs=(EnrolmentEntry(program_id=PROGRAM, level_kw="40"),))
    there = given().after(*portfolio_commands(BERLIN, own, baseline_method=FIRM))
    assert refusals(there) == [("no_service_level", "fac-001")]


def test_hours_days_and_season_are_judged_in_the_time_of_each_facility() -> None:
    window = WindowTerms(
        hours=Hours(from_="16:00", to="20:00"), days=("tue",), season=Season(from_="06-01", to="09-30")
    )
    # 17:00 to 19:00 of Tuesday in New York, 23:00 to 01:00 in Berlin
    assert refusals(agreed(window=window)) == [("outside_hours", "fac-001")]
    winter = {"starts_at": STARTS_AT + timedelta(days=92), "ends_at": ENDS_AT + timedelta(days=92)}
    found = refusals(agreed(window=window), **winter)
    assert ("outside_days", "fac-002") in found
    assert ("outside_season", "fac-002") in found


def test_a_start_beyond_the_longest_lead_of_the_program_is_too_far_ahead() -> None:
    assert refusals(agreed(maximum_lead_s=8 * 3600)) == [("too_far_ahead", None)]
    assert refusals(agreed(maximum_lead_s=9 * 3600)) == []


def test_a_facility_of_an_accepted_dr_event_is_not_judged_again_while_the_start_stands() -> None:
    both = tuple(
        facility_entry(one, programs=(EnrolmentEntry(program_id=PROGRAM, level_kw=40.0),))
        for one in ("fac-001", "fac-002")
    )
    scenario = given().after(*portfolio_commands(*both, baseline_method=FIRM), judge())
    scenario.after(
        *portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002"), baseline_method=FIRM)
    )
    lower = notice(modification_number=1, target_kw=120.0)
    later = notice(modification_number=2, starts_at=STARTS_AT + timedelta(minutes=15))
    assert scenario.when(_changed(lower)).reply.status == "modified"
    refused = scenario.when(_changed(later)).reply
    assert (refused.status, {reason.code for reason in refused.reasons}) == ("refused", {"no_service_level"})


def test_a_later_end_is_judged_by_the_hours_and_an_earlier_one_is_not() -> None:
    # 17:00 to 19:00 in New York was accepted.
    hours = WindowTerms(hours=Hours(from_="16:00", to="20:00"), days=("tue",))
    ahead = given().after(*portfolio_commands(NEW_YORK, window=hours), judge(**ONLY_NEW_YORK))
    for number, (hours_later, status) in enumerate([(2, "refused"), (1, "modified"), (0, "modified")], 1):
        moved = notice(
            modification_number=number, ends_at=ENDS_AT + timedelta(hours=hours_later), **ONLY_NEW_YORK
        )
        reply = ahead.when(_changed(moved)).reply
        assert reply.status == status
        assert [reason.code for reason in reply.reasons] == ["outside_hours"] * (status == "refused")


def test_a_later_end_is_not_judged_by_the_day_or_the_service_level() -> None:
    scenario = given().after(*portfolio_commands(NEW_YORK), judge(**ONLY_NEW_YORK))
    scenario.after(*portfolio_commands(NEW_YORK, window=WindowTerms(days=("mon",)), baseline_method=FIRM))
    longer = notice(modification_number=1, ends_at=ENDS_AT + timedelta(hours=1), **ONLY_NEW_YORK)
    assert scenario.when(_changed(longer)).reply.status == "modified"


def _changed(changed: Notice) -> ModifyDREvent:
    return ModifyDREvent(utility_id=UTILITY, utility_event_id=UTILITY_EVENT, notice=changed)
