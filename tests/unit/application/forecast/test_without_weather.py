"""Whether forecasts without weather are as accurate as with it: by the scores of the last four weeks."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.forecast import without_weather
from application.forecast.scoring import LEADS_H
from application.forecast.without_weather import (
    AS_GOOD,
    CACHED,
    MIN_QUARTERS,
    AccuracyWithoutWeather,
    is_as_accurate_without_weather,
)
from application.ports.forecast.scores import ForecastScore
from tests.fakes.forecast.scores import FakeForecastScores

NOW = datetime(2026, 7, 14, 20, 5, tzinfo=UTC)
WEEK = MIN_QUARTERS // len(LEADS_H)
WITHOUT, WITH = "degraded_no_weather", "full"


def scores(
    data_quality: str,
    rmse_kw: float,
    *,
    quarters: int = WEEK,
    mean_kw: float = 100.0,
    last_week_kw: float | None = None,
) -> list[ForecastScore]:
    """Of each lead time."""
    compared = 0 if last_week_kw is None else quarters
    one = ForecastScore(
        facility_id="fac-001",
        lead_h=1,
        data_quality=data_quality,
        quarters=quarters,
        load_kw=mean_kw * quarters,
        error_kw=0.0,
        abs_kw=rmse_kw * quarters,
        square_kw2=rmse_kw**2 * quarters,
        pinball_kw=0.0,
        below=0,
        above=0,
        compared=compared,
        compared_square_kw2=rmse_kw**2 * compared,
        naive_square_kw2=(last_week_kw or 0.0) ** 2 * compared,
    )
    return [replace(one, lead_h=lead_h) for lead_h in LEADS_H]


@pytest.mark.parametrize(
    ("without_kw", "with_kw", "is_as_good"), [(8.0, 10.0, True), (10.4, 10.0, True), (10.6, 10.0, False)]
)
def test_the_error_without_weather_may_be_at_most_five_percent_larger(
    without_kw: float, with_kw: float, is_as_good: bool
) -> None:
    found = [*scores(WITHOUT, without_kw), *scores(WITH, with_kw)]
    assert is_as_accurate_without_weather(found) is is_as_good


def test_errors_are_compared_in_relation_to_the_load_of_their_time() -> None:
    """Twice the error at twice the load is the same accuracy."""
    found = [*scores(WITHOUT, 20.0, mean_kw=200.0), *scores(WITH, 10.0)]
    assert is_as_accurate_without_weather(found)
    assert not is_as_accurate_without_weather([*scores(WITHOUT, 20.0), *scores(WITH, 10.0, mean_kw=200.0)])


def test_old_weather_counts_as_weather_and_stale_data_does_not_count() -> None:
    found = [*scores(WITHOUT, 12.0, last_week_kw=50.0), *scores("degraded_stale_data", 40.0)]
    assert is_as_accurate_without_weather(found)
    assert not is_as_accurate_without_weather([*found, *scores("degraded_stale_weather", 10.0)])


def test_less_than_a_week_of_forecasts_is_no_measurement() -> None:
    assert not is_as_accurate_without_weather([])
    few = scores(WITHOUT, 1.0, quarters=WEEK - 1, last_week_kw=50.0)
    assert not is_as_accurate_without_weather([*few, *scores(WITH, 10.0)])


@pytest.mark.parametrize(("last_week_kw", "is_as_good"), [(10.0, True), (9.9, False), (None, False)])
def test_where_weather_was_hardly_ever_used_the_load_of_last_week_is_the_measure(
    last_week_kw: float | None, is_as_good: bool
) -> None:
    found = scores(WITHOUT, 10.0, last_week_kw=last_week_kw)
    assert is_as_accurate_without_weather(found) is is_as_good
    assert is_as_accurate_without_weather([*found, *scores(WITH, 1.0, quarters=WEEK - 1)]) is is_as_good


# Squares of less, and their products, would be no normal numbers.
kilowatts = st.just(0.0) | st.floats(1e-6, 1e4)


@given(kilowatts, kilowatts, kilowatts, kilowatts)
def test_a_smaller_error_without_weather_is_never_judged_worse(
    without_kw: float, with_kw: float, mean_kw: float, other_mean_kw: float
) -> None:
    def judged(error_kw: float) -> bool:
        return is_as_accurate_without_weather(
            [*scores(WITHOUT, error_kw, mean_kw=mean_kw), *scores(WITH, with_kw, mean_kw=other_mean_kw)]
        )

    assert judged(without_kw / 2) >= judged(without_kw)
    if mean_kw == other_mean_kw and without_kw > AS_GOOD * with_kw * 1.001 and mean_kw > 0:
        assert not judged(without_kw)


def recorded(*found: ForecastScore, day: date) -> FakeForecastScores:
    book = FakeForecastScores()
    book.kept = [(day, score) for score in found]
    return book


def test_facilities_are_read_together_and_again_after_a_quarter_hour() -> None:
    book = recorded(*scores(WITHOUT, 8.0), *scores(WITH, 10.0), day=NOW.date() - timedelta(days=1))
    accurate = AccuracyWithoutWeather(book)
    assert accurate(("fac-001", "fac-002"), NOW) == {"fac-001"}
    book.kept = []
    assert accurate(("fac-001",), NOW + CACHED - timedelta(seconds=1)) == {"fac-001"}
    assert accurate(("fac-001",), NOW + CACHED) == frozenset()


def test_a_cache_that_begins_anew_meanwhile_loses_nothing_of_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(without_weather, "MAX_FACILITIES", 1)
    book = recorded(*scores(WITHOUT, 8.0), *scores(WITH, 10.0), day=NOW.date() - timedelta(days=1))
    accurate = AccuracyWithoutWeather(book)
    assert accurate(("fac-001",), NOW) == {"fac-001"}
    assert accurate(("fac-001", "fac-002"), NOW) == {"fac-001"}


def test_days_before_four_weeks_and_today_do_not_count() -> None:
    for day in (NOW.date(), NOW.date() - timedelta(days=29)):
        assert not AccuracyWithoutWeather(recorded(*scores(WITHOUT, 8.0), *scores(WITH, 10.0), day=day))(
            ("fac-001",), NOW
        )


def test_while_the_scores_cannot_be_read_nothing_is_accepted() -> None:
    book = recorded(*scores(WITHOUT, 8.0), *scores(WITH, 10.0), day=NOW.date() - timedelta(days=1))
    book.available = False
    assert AccuracyWithoutWeather(book)(("fac-001",), NOW) == frozenset()
