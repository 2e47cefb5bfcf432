"""The contract of PublicHolidays: the calendar of the forecasts, and the fake's."""

from datetime import date

import pytest

from adapters.forecasting.calendar.public_holidays import RegionalHolidays
from application.ports.public_holidays import PublicHolidays
from tests.fakes.public_holidays import FakePublicHolidays


@pytest.fixture(params=[FakePublicHolidays, RegionalHolidays])
def calendar(request: pytest.FixtureRequest) -> PublicHolidays:
    made: PublicHolidays = request.param()
    return made


def test_the_given_region_goes_before_that_of_the_time_zone(calendar: PublicHolidays) -> None:
    assert calendar.region_of("America/New_York", "US-CA") == "US-CA"
    assert calendar.region_of("America/New_York", None) == "US"
    assert calendar.region_of("Europe/Berlin", None) == "DE"


def test_a_zone_of_no_country_has_no_region_and_no_holidays(calendar: PublicHolidays) -> None:
    assert calendar.region_of("UTC", None) == ""
    assert calendar.in_years("", 2026, 2026) == frozenset()


def test_holidays_are_those_of_the_region_in_all_requested_years(calendar: PublicHolidays) -> None:
    found = calendar.in_years("US", 2025, 2026)
    assert {date(2025, 7, 4), date(2025, 12, 25), date(2026, 1, 1), date(2026, 12, 25)} <= found
    assert {day.year for day in found} == {2025, 2026}
    assert date(2026, 10, 3) in calendar.in_years("DE", 2026, 2026)
    assert date(2026, 7, 4) not in calendar.in_years("DE", 2026, 2026)


def test_a_region_without_a_calendar_has_none(calendar: PublicHolidays) -> None:
    assert calendar.in_years("XX", 2026, 2026) == frozenset()
