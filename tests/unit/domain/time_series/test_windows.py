from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from domain.time_series.windows import (
    IntervalSeries,
    InvalidWindow,
    NotAligned,
    TimeWindow,
    local_date,
    local_day,
    same_local_time,
)

NOON = datetime(2026, 7, 14, 12, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")


def window(start_h: float, end_h: float) -> TimeWindow:
    return TimeWindow(NOON + timedelta(hours=start_h), NOON + timedelta(hours=end_h))


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InvalidWindow, match="no UTC offset"):
        TimeWindow(datetime(2026, 7, 14, 12), NOON)  # noqa: DTZ001 - the point of the test


def test_a_window_without_length_is_refused() -> None:
    with pytest.raises(InvalidWindow, match="not after"):
        TimeWindow(NOON, NOON)


def test_a_time_with_another_offset_is_stored_as_utc() -> None:
    cest = timezone(timedelta(hours=2))
    made = TimeWindow(NOON.astimezone(cest), NOON + timedelta(hours=1))
    assert made == window(0, 1)
    assert made.starts_at.tzinfo is UTC


def test_an_encoded_window_is_decoded_unchanged() -> None:
    wire = msgspec.json.encode(window(0, 1))
    assert msgspec.json.decode(wire, type=TimeWindow) == window(0, 1)
    with pytest.raises(msgspec.ValidationError, match="not after"):
        msgspec.json.decode(
            b'{"starts_at": "2026-07-14T13:00:00Z", "ends_at": "2026-07-14T12:00:00Z"}', type=TimeWindow
        )


def test_adjacent_windows_do_not_overlap() -> None:
    assert window(0, 2).overlaps(window(1, 3))
    assert not window(0, 1).overlaps(window(1, 2))
    assert not window(1, 2).overlaps(window(0, 1))
    assert window(0, 3).covers(window(1, 3))
    assert not window(0, 3).covers(window(1, 4))


def test_a_window_contains_its_start_and_not_its_end() -> None:
    assert window(0, 1).contains(NOON)
    assert not window(0, 1).contains(NOON + timedelta(hours=1))
    assert window(0, 1.5).duration_s == 5400


def test_values_outside_a_series_are_missing_and_not_zero() -> None:
    series = IntervalSeries.of(NOON, 3600, [1.0, None, 3.0])
    found = series.slice(window(-1, 5))
    assert np.isnan(found).tolist() == [True, False, True, False, True, True]
    assert found[[1, 3]].tolist() == [1.0, 3.0]
    assert np.isnan(series.at(NOON + timedelta(hours=1)))
    assert np.isnan(series.at(NOON - timedelta(hours=1)))
    assert series.at(NOON) == 1.0
    assert series.ends_at == NOON + timedelta(hours=3)


def test_an_infinite_value_is_missing() -> None:
    assert np.isnan(IntervalSeries.of(NOON, 3600, [float("inf")]).at(NOON))


def test_a_window_off_the_steps_is_refused() -> None:
    series = IntervalSeries.of(NOON, 3600, [1.0, 2.0])
    for off in (window(0.5, 1), window(0, 0.25)):
        with pytest.raises(NotAligned, match="not on a boundary of the 3600 s steps"):
            series.slice(off)
        with pytest.raises(NotAligned):
            series.starts(off)


def test_the_values_of_a_series_cannot_be_changed_afterwards() -> None:
    source = np.array([1.0, 2.0])
    series = IntervalSeries(NOON, 3600, source)
    source[0] = 99.0
    assert series.at(NOON) == 1.0
    with pytest.raises(ValueError, match="read-only"):
        series.values[0] = 5.0


def test_quarter_hour_energy_becomes_mean_power() -> None:
    assert IntervalSeries.of(NOON, 900, [2.5, None]).kw_from_kwh().at(NOON) == 10.0


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 7, 14), 24)])
def test_local_days_have_23_24_or_25_hours(day: tuple[int, int, int], hours: int) -> None:
    window = local_day(date(*day), LONDON)
    assert window.duration_s == hours * 3600
    assert local_date(window.starts_at, LONDON) == date(*day)
    assert local_date(window.ends_at - timedelta(seconds=1), LONDON) == date(*day)


def test_the_same_local_time_is_computed_over_a_clock_change() -> None:
    summer = datetime(2026, 10, 26, 14, tzinfo=UTC)  # 14:00 GMT, the day after the clocks went back
    assert same_local_time(summer, days=-2, tz=LONDON) == datetime(2026, 10, 24, 13, tzinfo=UTC)


def test_a_local_time_skipped_by_a_clock_change_does_not_exist() -> None:
    half_past_one = datetime(2026, 3, 30, 0, 30, tzinfo=UTC)  # 01:30 BST
    assert same_local_time(half_past_one, days=-1, tz=LONDON) is None


def test_a_repeated_local_time_means_the_first() -> None:
    half_past_one = datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert same_local_time(half_past_one, days=-1, tz=LONDON) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
