"""The window of a program: hours, days and season, local to the facility."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.program import Hours, Season, WindowTerms
from domain.time_series.windows import TimeWindow

NEW_YORK = ZoneInfo("America/New_York")
TUESDAY = date(2026, 7, 14)


def local(day: date, begin: str, end: str, tz: ZoneInfo = NEW_YORK) -> TimeWindow:
    first, last = (datetime.fromisoformat(f"{day} {text}").replace(tzinfo=tz) for text in (begin, end))
    return TimeWindow(first, last if last > first else last + timedelta(days=1))


def codes(terms: WindowTerms, window: TimeWindow, *holidays: date) -> list[str]:
    return list(terms.violations(window, NEW_YORK, holidays))


@pytest.mark.parametrize(
    ("begin", "end", "found"),
    [
        ("14:00", "18:00", []),
        ("15:00", "16:00", []),
        ("13:59", "15:00", ["outside_hours"]),
        ("17:00", "18:01", ["outside_hours"]),
        ("18:00", "19:00", ["outside_hours"]),
    ],
)
def test_a_dr_event_lies_wholly_inside_the_local_hours(begin: str, end: str, found: list[str]) -> None:
    terms = WindowTerms(hours=Hours(from_="14:00", to="18:00"))
    assert codes(terms, local(TUESDAY, begin, end)) == found


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    terms = WindowTerms(hours=Hours(from_="22:00", to="02:00"), days=("tue",))
    assert codes(terms, local(TUESDAY, "23:00", "01:00")) == []
    assert codes(terms, local(TUESDAY + timedelta(days=1), "00:30", "01:30")) == []
    assert codes(terms, local(TUESDAY, "00:30", "01:30")) == ["outside_days"]
    assert codes(terms, local(TUESDAY, "12:00", "13:00")) == ["outside_hours"]


def test_hours_may_end_with_the_day() -> None:
    terms = WindowTerms(hours=Hours(from_="20:00", to="24:00"))
    assert codes(terms, local(TUESDAY, "20:00", "00:00")) == []


def test_hours_are_local_on_the_day_of_a_clock_change() -> None:
    terms = WindowTerms(hours=Hours(from_="00:00", to="04:00"))
    for day, hours in ((date(2026, 3, 8), 3), (date(2026, 11, 1), 5)):
        window = local(day, "00:00", "04:00")
        utc = TimeWindow(window.starts_at, window.ends_at)
        assert utc.duration_s == hours * 3600
        assert codes(terms, utc) == []


def test_days_and_holidays_are_named() -> None:
    weekdays = WindowTerms(days=("mon", "tue", "wed", "thu", "fri"), on_holidays=False)
    assert codes(weekdays, local(TUESDAY, "14:00", "16:00")) == []
    assert codes(weekdays, local(TUESDAY, "14:00", "16:00"), TUESDAY) == ["outside_days"]
    saturday = local(date(2026, 7, 18), "14:00", "16:00")
    assert weekdays.violations(saturday, NEW_YORK, ())["outside_days"].startswith("2026-07-18 is a Saturday")
    assert codes(WindowTerms(), saturday, date(2026, 7, 18)) == []


@pytest.mark.parametrize(
    ("first", "last", "inside", "outside"),
    [
        ("05-01", "10-31", ["05-01", "07-14", "10-31"], ["04-30", "11-01"]),
        ("11-01", "02-29", ["11-01", "12-31", "01-01", "02-28"], ["03-01", "10-31"]),
        ("07-14", "07-14", ["07-14"], ["07-13", "07-15"]),
    ],
)
def test_a_season_holds_both_its_days_and_may_pass_the_new_year(
    first: str, last: str, inside: list[str], outside: list[str]
) -> None:
    season = Season(from_=first, to=last)
    assert [day for day in inside if not season.contains(date.fromisoformat(f"2026-{day}"))] == []
    assert [day for day in outside if season.contains(date.fromisoformat(f"2026-{day}"))] == []


@given(st.dates(date(2020, 1, 1), date(2030, 12, 31)), st.dates(), st.dates())
def test_a_day_is_in_a_season_or_in_the_rest_of_the_year(day: date, one: date, other: date) -> None:
    first, last = f"{one:%m-%d}", f"{other:%m-%d}"
    this = f"{day:%m-%d}"
    between = (first <= this <= last) if first <= last else not last < this < first
    assert Season(from_=first, to=last).contains(day) is between


@given(st.integers(0, 95), st.integers(1, 95), st.integers(0, 364))
def test_every_quarter_hour_inside_the_hours_is_allowed_on_every_day(
    begin: int, steps: int, day: int
) -> None:
    """In UTC, where no clock changes."""
    tz = ZoneInfo("UTC")
    starts_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day, minutes=15 * begin)
    ends_at = starts_at + timedelta(minutes=15 * steps)
    hours = Hours(from_=f"{starts_at:%H:%M}", to=f"{ends_at:%H:%M}")
    assert WindowTerms(hours=hours).violations(TimeWindow(starts_at, ends_at), tz, ()) == {}
    wider = TimeWindow(starts_at - timedelta(minutes=1), ends_at)
    assert list(WindowTerms(hours=hours).violations(wider, tz, ())) == ["outside_hours"]
