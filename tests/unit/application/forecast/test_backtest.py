"""Backtest scores, computed by hand."""

from datetime import UTC, datetime

import numpy as np
import pytest

from application.forecast.backtest import FacilityScore, scored, summary
from application.ports.forecast.load_forecaster import FacilityHistory
from application.ports.forecast.rolling_forecasts import FacilityRun
from domain.time_series.windows import FloatArray, IntervalSeries

START = datetime(2026, 6, 1, tzinfo=UTC)
HOURS = 40 * 24


def history(load: FloatArray) -> FacilityHistory:
    return FacilityHistory(
        facility_id="fac-001",
        tz="UTC",
        mean_kw=IntervalSeries(START, 3600, load),
        temp_c=IntervalSeries(START, 3600, np.full(len(load), np.nan)),
    )


def score(
    load: FloatArray, off_kw: float, half_width_kw: float, facility_id: str = "fac-001"
) -> FacilityScore:
    """The score of forecasts `off_kw` above the meter, from midnights 30 to 37."""
    origins = np.arange(30, 38) * 24
    truth = load[origins[:, None] + np.arange(48)]
    middle = np.where(np.isfinite(truth), truth, 0.0) + off_kw
    run = FacilityRun(
        facility_id=facility_id,
        model="made up",
        origins_s=int(START.timestamp()) + origins * 3600,
        kw=np.stack([middle - half_width_kw, middle, middle + half_width_kw]),
    )
    return scored(run, history(load))


def rising() -> FloatArray:
    """10 kW more every day."""
    found: FloatArray = 100 + 10.0 * (np.arange(HOURS) // 24).astype(np.float64)
    return found


def test_the_error_of_each_method_is_the_growth_of_the_days_between() -> None:
    span = score(rising(), 5.0, 6.0).spans["day_ahead"]
    found = {name: one.rmse_kw for name, one in span.methods.items()}
    assert found == pytest.approx(
        {"forecast": 5, "yesterday": 10, "last_week": 70, "mean_of_7_days": 40, "mean_of_4_weeks": 175}
    )
    assert (span.coverage_80, span.best_naive, span.ratio("yesterday")) == (1.0, "yesterday", 0.5)
    second = score(rising(), 5.0, 6.0).spans["second_day"]
    assert second.methods["yesterday"].rmse_kw == pytest.approx(20)


def test_pinball_weighs_both_sides_of_each_quantile() -> None:
    ours = score(rising(), 5.0, 6.0).spans["day_ahead"].methods["forecast"]
    # The truth is 1 above p10, 5 below p50 and 11 below p90.
    assert ours.pinball_kw == pytest.approx((0.1 * 1 + 0.5 * 5 + 0.1 * 11) / 3)
    one_value = score(rising(), 5.0, 6.0).spans["day_ahead"].methods["yesterday"]
    assert one_value.pinball_kw == pytest.approx((0.1 + 0.5 + 0.9) * 10 / 3)


def test_an_unmetered_step_counts_for_no_method() -> None:
    load = rising()
    load[34 * 24 : 34 * 24 + 6] = np.nan
    span = score(load, 5.0, 4.0).spans["day_ahead"]
    # Without the six hours, and without those whose load a week or a day before is missing.
    assert span.steps == 8 * 24 - 6 - 6
    assert span.coverage_80 == 0.0
    assert span.methods["forecast"].rmse_kw == pytest.approx(5.0)


def test_a_summary_is_a_geometric_mean_and_lists_facilities_worse_than_naive() -> None:
    scores = [score(rising(), 5.0, 6.0, "good"), score(rising(), 20.0, 6.0, "bad")]
    found = summary(scores, "day_ahead")
    assert found.rmse_to["yesterday"] == pytest.approx(1.0)
    assert found.worse_than_best_naive == {"bad": 2.0}
    assert found.coverage_80 == 0.5


def test_a_load_of_mean_zero_has_no_cvrmse() -> None:
    found = score(np.zeros(HOURS), 1.0, 2.0)
    span = found.spans["day_ahead"]
    assert span.methods["forecast"].cvrmse is None
    assert span.ratio("yesterday") is None
    assert summary([found], "day_ahead").rmse_to["yesterday"] is None
