"""Forecast accuracy: scores of an hour computed by hand, sums of scores, and drift of a facility."""

from datetime import UTC, date, datetime, timedelta
from math import sqrt

import numpy as np
import pytest
from msgspec.structs import replace

from application.forecast.accuracy import accuracies_of, drifted, facility_accuracies
from application.forecast.scoring import CorrelationTally, MeteredLoad, score_hour
from application.ports.forecast.past_forecasts import ForecastKey
from application.ports.forecast.scores import ForecastScore
from domain.time_series.windows import FloatArray
from tests.fakes.forecast.scores import FakeForecastScores
from tests.issued_forecasts import issued_forecast

HOUR = datetime(2026, 7, 14, 20, tzinfo=UTC)
DAY = date(2026, 7, 14)
NAN = float("nan")


def scored(load_kw: list[float], week_before_kw: list[float], *, full: bool = True) -> list[ForecastScore]:
    """Scored against a forecast of 100 kW, 90 to 110, made 4 hours ahead."""
    issued_at = HOUR - timedelta(hours=4)
    state = issued_forecast("fac-001", issued_at, 100.0, full=full, spread_kw=10.0).state
    metered = MeteredLoad(
        facility_ids=("fac-001",), load_kw=np.array([load_kw]), week_before_kw=np.array([week_before_kw])
    )
    place = ForecastKey("fac-001", issued_at)
    return list(score_hour({place: state}, metered, HOUR, 4, CorrelationTally()))


def test_an_hour_is_scored_by_quarter_hours() -> None:
    (score,) = scored([104.0, 85.0, 112.0, NAN], [100.0, NAN, 100.0, 100.0], full=False)
    # Errors -4, 15, -12; losses at 10, 50 and 90 %: 1.4, 2, .6; 4.5, 7.5, 2.5; 2.2, 6, 1.8.
    losses_kw = (1.4 + 2.0 + 0.6 + 4.5 + 7.5 + 2.5 + 2.2 + 6.0 + 1.8) / 3
    assert replace(score, pinball_kw=round(score.pinball_kw, 9)) == ForecastScore(
        facility_id="fac-001",
        lead_h=4,
        data_quality="degraded_stale_data",
        quarters=3,
        load_kw=301.0,
        error_kw=-1.0,
        abs_kw=31.0,
        square_kw2=16.0 + 225.0 + 144.0,
        pinball_kw=round(losses_kw, 9),
        below=1,
        above=1,
        compared=2,
        compared_square_kw2=160.0,
        naive_square_kw2=16.0 + 144.0,
    )


def test_an_hour_without_a_meter_value_or_a_forecast_is_not_scored() -> None:
    assert scored([NAN] * 4, [100.0] * 4) == []
    metered = MeteredLoad(
        facility_ids=("fac-001",), load_kw=np.full((1, 4), 1.0), week_before_kw=np.full((1, 4), 1.0)
    )
    assert list(score_hour({}, metered, HOUR, 4, CorrelationTally())) == []
    issued_at = HOUR - timedelta(hours=24)
    beyond = {ForecastKey("fac-001", issued_at): issued_forecast("fac-001", issued_at, 100.0).state}
    assert list(score_hour(beyond, metered, HOUR, 24, CorrelationTally())) == []


def test_sums_give_errors_coverage_and_skill_by_quality_and_overall() -> None:
    (full,) = scored([104.0] * 4, [102.0] * 4)
    (poor,) = scored([120.0] * 4, [NAN] * 4, full=False)
    found = accuracies_of([full, poor])
    assert [(one.lead_h, one.data_quality, one.quarters) for one in found] == [
        (4, "all", 8),
        (4, "full", 4),
        (4, "degraded_stale_data", 4),
    ]
    everything, full_one, poor_one = found
    assert everything.rmse_kw == pytest.approx(sqrt((16 + 400) / 2))
    assert (everything.bias_kw, everything.mae_kw, everything.mean_load_kw) == (-12.0, 12.0, 112.0)
    assert (everything.coverage_pct, everything.above_pct, everything.below_pct) == (50.0, 50.0, 0.0)
    # Last week's error is 2 and the forecast's is 4, where both are available.
    assert (everything.skill, full_one.skill) == (-1.0, -1.0)
    assert (poor_one.skill, poor_one.last_week_rmse_kw) == (None, None)


def noted(
    scores: FakeForecastScores, days: range, rng: np.random.Generator, *, rmse_kw: float, inside: float = 0.8
) -> None:
    """Record the scores of whole days, counted back from DAY."""
    for days_ago in days:
        errors: FloatArray = rng.normal(0.0, rmse_kw, 96)
        outside = int(96 * (1 - inside))
        (score,) = scored([100.0] * 4, [100.0] * 4)
        score = replace(score, quarters=96, square_kw2=float((errors**2).sum()), below=outside)
        scores.kept.append((DAY - timedelta(days=days_ago), score))


@pytest.mark.parametrize(
    ("recent_kw", "inside", "says"),
    [
        (10.0, 0.8, None),
        (14.0, 0.8, None),
        (17.0, 0.8, "usually 10"),
        (10.0, 0.5, "covered 50 %"),
        (10.0, 0.99, "covered 100 %"),
    ],
)
def test_an_error_of_one_and_a_half_times_the_usual_one_is_drift(
    recent_kw: float, inside: float, says: str | None
) -> None:
    scores, rng = FakeForecastScores(), np.random.default_rng(1)
    noted(scores, range(7), rng, rmse_kw=recent_kw, inside=inside)
    noted(scores, range(7, 60), rng, rmse_kw=10.0)
    found = drifted(scores, DAY)
    assert (list(found) == ["fac-001"]) is (says is not None)
    assert says is None or says in found["fac-001"]


def test_few_scores_and_degraded_forecasts_are_no_drift() -> None:
    scores, rng = FakeForecastScores(), np.random.default_rng(1)
    noted(scores, range(3), rng, rmse_kw=50.0)
    noted(scores, range(7, 10), rng, rmse_kw=10.0)
    assert drifted(scores, DAY) == {}
    noted(scores, range(10, 60), rng, rmse_kw=10.0)
    assert list(drifted(scores, DAY)) == ["fac-001"]
    scores.kept = [(day, replace(score, data_quality="degraded_no_weather")) for day, score in scores.kept]
    assert drifted(scores, DAY) == {}


def test_accuracies_are_those_of_the_requested_days_and_facilities() -> None:
    scores, rng = FakeForecastScores(), np.random.default_rng(1)
    noted(scores, range(5), rng, rmse_kw=10.0)
    found = facility_accuracies(scores, DAY - timedelta(days=1), DAY, ["fac-001"])
    assert [(one.facility_id, one.accuracy[0].quarters) for one in found] == [("fac-001", 192)]
    assert facility_accuracies(scores, DAY, DAY, ["fac-002"]) == []
