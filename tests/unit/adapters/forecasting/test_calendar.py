"""The hour of the local week: clock changes, holidays as Sundays, regions by name or by zone."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from adapters.forecasting.calendar.local_week import HOUR_S, day_kind_hour, hours_of_week, local_midnights
from adapters.forecasting.calendar.public_holidays import public_holidays, region_of


def hour(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) // HOUR_S


def test_hours_of_the_week_follow_local_time() -> None:
    for tz in ("Europe/London", "America/Los_Angeles", "Asia/Kolkata", "Asia/Seoul"):
        first = hour("2026-01-01T00:00:00+00:00")
        found = hours_of_week(first, 366 * 24, tz, "")
        moments = [datetime.fromtimestamp((first + i) * HOUR_S, UTC) for i in range(366 * 24)]
        local = [moment.astimezone(ZoneInfo(tz)) for moment in moments]
        assert found.tolist() == [at.weekday() * 24 + at.hour for at in local]


def test_the_repeated_hour_occurs_twice_and_the_skipped_hour_never() -> None:
    spring = hours_of_week(hour("2026-03-29T00:00:00+00:00"), 3, "Europe/London", "")
    autumn = hours_of_week(hour("2026-10-24T23:00:00+00:00"), 4, "Europe/London", "")
    assert [one % 24 for one in spring.tolist()] == [0, 2, 3]
    assert [one % 24 for one in autumn.tolist()] == [0, 1, 1, 2]


def test_a_holiday_counts_as_a_sunday() -> None:
    first = hour("2026-12-25T00:00:00+00:00")  # a Friday
    assert hours_of_week(first, 24, "Europe/London", "GB-ENG").tolist() == list(range(144, 168))
    assert hours_of_week(first, 24, "Europe/London", "").tolist() == list(range(96, 120))
    assert day_kind_hour(np.array([0, 119, 120, 167])).tolist() == [0, 23, 24, 47]


@pytest.mark.parametrize(
    ("tz", "said", "region"),
    [
        ("America/Los_Angeles", "US-CA", "US-CA"),
        ("America/Los_Angeles", None, "US"),
        ("Europe/London", None, "GB-ENG"),
        ("Etc/GMT+8", None, ""),
    ],
)
def test_the_region_is_given_or_derived_from_the_zone(tz: str, said: str | None, region: str) -> None:
    assert region_of(tz, said) == region


def test_an_unknown_region_has_the_holidays_of_its_country_and_an_unknown_country_has_none() -> None:
    assert date(2026, 7, 4) in public_holidays("US-XX", 2026, 2026)
    assert public_holidays("XX", 2026, 2026) == public_holidays("", 2026, 2026) == frozenset()


def test_local_midnights_are_24_hours_apart_except_at_clock_changes() -> None:
    first = hour("2026-03-27T00:00:00+00:00")
    found = local_midnights(first, first + 96, "America/New_York")
    assert [datetime.fromtimestamp(one * HOUR_S, UTC).hour for one in found] == [4, 4, 4, 4]
    over = local_midnights(
        hour("2026-10-30T00:00:00+00:00"), hour("2026-11-03T00:00:00+00:00"), "America/New_York"
    )
    assert np.diff(over).tolist() == [24, 24, 25]
