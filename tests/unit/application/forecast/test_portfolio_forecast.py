"""Intervals of many facilities: between the root of the squares and the sum, by the correlation of their
errors."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.forecast.portfolio_forecast import (
    MIN_QUARTERS,
    CorrelationEstimate,
    NoPortfolioForecast,
    measured_correlations,
    portfolio_forecast,
    together,
)
from application.forecast.scoring import LEADS_H, CorrelationTally
from domain.forecast import CYCLE, ForecastState
from tests.fakes.forecast.scores import FakeForecastScores
from tests.issued_forecasts import CYCLE_START, issued_forecast

NOW = CYCLE_START + timedelta(minutes=5)
DAY = date(2026, 7, 14)


def estimates_of(correlation: float) -> list[CorrelationEstimate]:
    return [
        CorrelationEstimate(lead_h=lead_h, correlation=correlation, measured=True, quarters=1_000)
        for lead_h in LEADS_H
    ]


def four(*, cycles_ago: int = 0) -> list[ForecastState]:
    """Forecasts of 100 kW each, plus and minus 10 kW."""
    return [
        issued_forecast(f"fac-{n}", CYCLE_START - CYCLE * cycles_ago, 100.0, spread_kw=10.0).state
        for n in range(4)
    ]


@pytest.mark.parametrize(("correlation", "half_width_kw"), [(0.0, 20.0), (0.25, 26.457513), (1.0, 40.0)])
def test_independent_errors_add_in_quadrature_and_equal_errors_add_linearly(
    correlation: float, half_width_kw: float
) -> None:
    states = four()
    found = portfolio_forecast(
        states, [state.facility_id for state in states], estimates_of(correlation), NOW
    )
    assert len(found.steps) == 96
    kw = found.steps[0].kw
    assert (kw.p10, kw.p50, kw.p90) == pytest.approx(
        (400 - half_width_kw, 400.0, 400 + half_width_kw), abs=1e-3
    )


@given(
    st.lists(st.tuples(st.floats(-500, 500), st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_the_interval_lies_between_the_independent_and_the_fully_correlated_one(
    rows: list[tuple[float, float, float]], correlation: float
) -> None:
    p50, down, up = np.array(rows).T[:, :, None]
    kw = np.stack([p50 - down, p50, p50 + up])
    free, found, tied = (together(kw, np.array([r])) for r in (0.0, correlation, 1.0))
    assert (tied[0] <= found[0] + 1e-6).all()
    assert (found[0] <= free[0] + 1e-6).all()
    assert (free[2] <= found[2] + 1e-6).all()
    assert (found[2] <= tied[2] + 1e-6).all()
    assert tied[0] == pytest.approx(kw[0].sum(axis=0), abs=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("too_narrow", [1.0, 2.0])
def test_the_correlation_of_errors_is_estimated_from_their_scores(
    correlation: float, too_narrow: float
) -> None:
    rng, scores = np.random.default_rng(7), FakeForecastScores()
    spreads = rng.uniform(2.0, 50.0, 40)
    for hour in range(7 * 24):
        tally, factor = CorrelationTally(), rng.normal(size=4)
        for spread in spreads:
            error = np.sqrt(correlation) * factor + np.sqrt(1 - correlation) * rng.normal(size=4)
            tally.add(4, spread * error, np.full(4, spread / too_narrow))
        scores.pairs += [(DAY - timedelta(days=hour // 24), one) for one in tally.correlations()]
    estimate = next(one for one in measured_correlations(scores, DAY + timedelta(days=1)) if one.lead_h == 4)
    assert (estimate.measured, estimate.quarters) == (True, MIN_QUARTERS)
    assert estimate.correlation == pytest.approx(correlation, abs=0.06)


def test_the_interval_has_its_nominal_coverage_for_errors_with_a_common_factor() -> None:
    """Four in five of 20,000 sums of errors fall between the portfolio's quantiles."""
    rng, correlation = np.random.default_rng(3), 0.3
    spreads = rng.uniform(2.0, 50.0, 40)
    errors = spreads * (
        np.sqrt(correlation) * rng.normal(size=(20_000, 1))
        + np.sqrt(1 - correlation) * rng.normal(size=(20_000, 40))
    )
    half = 1.2815515655446004 * spreads
    kw = np.stack([-half, np.zeros(40), half])[:, :, None]
    p10, _, p90 = together(kw, np.array([correlation]))
    inside = (errors.sum(axis=1) >= p10[0]) & (errors.sum(axis=1) <= p90[0])
    assert inside.mean() == pytest.approx(0.8, abs=0.01)


def test_without_a_week_of_scores_the_widest_interval_is_assumed() -> None:
    estimates = measured_correlations(FakeForecastScores(), DAY + timedelta(days=1))
    assert [(one.lead_h, one.correlation, one.measured) for one in estimates] == [
        (lead_h, 1.0, False) for lead_h in LEADS_H
    ]


def test_a_negative_correlation_of_errors_counts_as_zero() -> None:
    scores = FakeForecastScores()
    for n in range(MIN_QUARTERS // 4):
        tally = CorrelationTally()
        tally.add(1, np.full(4, 5.0), np.full(4, 5.0))
        tally.add(1, np.full(4, -5.0), np.full(4, 5.0))
        scores.pairs += [(DAY - timedelta(days=n % 20), one) for one in tally.correlations()]
    assert measured_correlations(scores, DAY + timedelta(days=1))[0].correlation == 0.0


def test_the_correlation_is_interpolated_between_lead_times() -> None:
    estimates = [
        CorrelationEstimate(lead_h=lead_h, correlation=correlation, measured=True, quarters=1_000)
        for lead_h, correlation in zip(LEADS_H, (0.0, 1.0, 1.0, 1.0), strict=True)
    ]
    steps = portfolio_forecast(four(), [], estimates, NOW).steps
    half_widths = [step.kw.p90 - 400.0 for step in steps]
    assert half_widths[0] == half_widths[4] == 20.0
    assert half_widths[16] == half_widths[-1] == 40.0
    assert half_widths[10] == pytest.approx((0.5 * 400 + 0.5 * 1600) ** 0.5, abs=1e-3)


def test_the_portfolio_forecast_lists_missing_facilities_and_the_quality_of_the_others() -> None:
    states = [*four(), issued_forecast("old", CYCLE_START - CYCLE * 4, 50.0, full=False).state]
    found = portfolio_forecast(states, ["fac-0", "old", "gone-2", "gone-1"], estimates_of(0.0), NOW)
    assert (found.facilities, found.without_forecast, found.without_forecast_ids) == (
        5,
        2,
        ("gone-1", "gone-2"),
    )
    assert found.counts_as == {"full": 4, "degraded_stale_data": 1}
    assert (found.weather_available, found.least_sensor_coverage_pct) == (5, 10.0)
    assert (found.oldest_issued_at, found.models) == (
        CYCLE_START - CYCLE * 4 + timedelta(seconds=30),
        ("towt 1",),
    )
    # The sum ends where the oldest forecast ends.
    assert len(found.steps) == 92
    assert found.steps[0].kw.p50 == 450.0


def test_without_any_forecast_there_is_no_sum() -> None:
    with pytest.raises(NoPortfolioForecast, match="none of 1 facilities"):
        portfolio_forecast([], ["fac-1"], estimates_of(0.0), datetime(2026, 7, 14, tzinfo=UTC))


def test_only_scores_before_the_day_are_used() -> None:
    scores = FakeForecastScores()
    tally = CorrelationTally()
    for _ in range(2):
        tally.add(1, np.full(4, 5.0), np.full(4, 5.0))
    scores.pairs = [(DAY, one) for one in tally.correlations()]
    assert [measured_correlations(scores, day)[0].quarters for day in (DAY, DAY + timedelta(days=1))] == [
        0,
        4,
    ]
