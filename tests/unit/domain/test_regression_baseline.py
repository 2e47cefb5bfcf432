"""The regression baseline as a pure function of recorded figures, and its uncertainty."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.baseline import BaselineImpossible
from domain.baseline.regression.model import (
    HourTerm,
    RegressionFigures,
    regression_baseline,
    temperature_components,
)
from domain.baseline.regression.uncertainty import savings_uncertainty, t_quantile
from domain.baseline.result import Adjustment, Baseline, BaselineInterval

NEW_YORK, KOLKATA = ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
MONDAY_14, SUNDAY_14 = 14, 6 * 24 + 14
WINDOW = datetime(2026, 7, 13, 18, tzinfo=UTC)  # Monday 14:00 in New York


def figures(*hours: HourTerm, autocorrelation: float = 0.0, freedom: int = 1_000) -> RegressionFigures:
    """20 degrees divide the segments; the coefficients are independent, with variances 4, 0 and 0 (hours, slopes)."""
    size = len(hours) + 3
    variances = np.diag([4.0] * len(hours) + [0.0] * 3)
    return RegressionFigures(
        hours=hours,
        change_points_c=(20.0,),
        occupied_kw_per_k=(1.0, 5.0),
        unoccupied_kw_per_k=2.0,
        covariance=tuple(variances[np.tril_indices(size)].tolist()),
        residual_kw=10.0,
        autocorrelation=autocorrelation,
        training_starts_at=WINDOW - timedelta(days=70),
        training_ends_at=WINDOW,
        training_hours=freedom + 50,
        degrees_of_freedom=freedom,
        temperatures_c=(25.0,) * 4,
    )


def quarters(count: int = 4, starts_at: datetime = WINDOW) -> list[datetime]:
    return [starts_at + timedelta(minutes=15 * i) for i in range(count)]


def measured(delivered_kw: float, starts: list[datetime], *, missing: int = 0) -> Baseline:
    known = len(starts) - missing
    intervals = tuple(
        BaselineInterval(at, 100.0, 100.0, 100.0 - delivered_kw, delivered_kw)
        if index < known
        else BaselineInterval(at, 100.0, 100.0, None, None)
        for index, at in enumerate(starts)
    )
    return Baseline(
        days=(),
        adjustment=Adjustment(kind="none"),
        intervals=intervals,
        missing=tuple(starts[known:]),
        step_s=900,
    )


def test_an_occupied_hour_follows_the_segments_of_its_temperature() -> None:
    found = regression_baseline(
        figures(HourTerm(MONDAY_14, True, 100.0)), quarters(), NEW_YORK, (), [25.0] * 4
    )
    assert found.tolist() == [100 + 20 * 1.0 + 5 * 5.0] * 4


def test_another_hour_has_one_slope() -> None:
    found = regression_baseline(
        figures(HourTerm(MONDAY_14, False, 100.0)), quarters(), NEW_YORK, (), [25.0] * 4
    )
    assert found.tolist() == [100 + 25 * 2.0] * 4


def test_an_interval_has_the_mean_of_the_temperatures_of_its_hour() -> None:
    found = regression_baseline(
        figures(HourTerm(MONDAY_14, False, 0.0)), quarters(), NEW_YORK, (), [20.0, None, None, 30.0]
    )
    assert found.tolist() == [50.0] * 4


def test_a_holiday_counts_as_a_sunday() -> None:
    both = figures(HourTerm(MONDAY_14, False, 100.0), HourTerm(SUNDAY_14, False, 30.0))
    working = regression_baseline(both, quarters(), NEW_YORK, (), [0.0] * 4)
    holiday = regression_baseline(both, quarters(), NEW_YORK, {date(2026, 7, 13)}, [0.0] * 4)
    assert (working[0], holiday[0]) == (100.0, 30.0)


def test_hours_begin_by_the_local_clock_of_a_zone_with_a_half_hour_offset() -> None:
    at_14_30 = datetime(2026, 7, 13, 9, tzinfo=UTC)  # Monday 14:30 in Kolkata
    two = figures(HourTerm(MONDAY_14, False, 100.0), HourTerm(MONDAY_14 + 1, False, 200.0))
    found = regression_baseline(two, quarters(4, at_14_30), KOLKATA, (), [0.0, 1.0, 10.0, 11.0])
    assert found.tolist() == [101.0, 101.0, 221.0, 221.0]


def test_an_hour_without_a_temperature_is_refused_by_name() -> None:
    with pytest.raises(BaselineImpossible, match=r"temperature is known for the hour of 2026-07-13 14:00"):
        regression_baseline(figures(HourTerm(MONDAY_14, True, 1.0)), quarters(), NEW_YORK, (), [None] * 4)


def test_an_hour_without_a_term_is_refused_by_name() -> None:
    with pytest.raises(BaselineImpossible, match=r"no term for Monday 14:00"):
        regression_baseline(figures(HourTerm(SUNDAY_14, True, 1.0)), quarters(), NEW_YORK, (), [1.0] * 4)


@given(
    st.floats(-40, 50),
    st.lists(st.floats(-20, 40), max_size=5, unique=True).map(sorted),
)
def test_the_components_of_a_temperature_sum_to_it(temp_c: float, change_points_c: list[float]) -> None:
    parts = temperature_components(np.array([temp_c]), change_points_c)[0]
    assert parts.sum() == pytest.approx(temp_c, abs=1e-9)
    assert (parts[1:] >= 0).all()


def test_the_uncertainty_is_that_of_the_term_and_of_the_residuals_of_an_hour() -> None:
    found = savings_uncertainty(
        figures(HourTerm(MONDAY_14, True, 100.0)), measured(20.0, quarters()), NEW_YORK, ()
    )
    assert found is not None
    deviation_kw = (4.0 + 10.0**2) ** 0.5
    assert found.kw_80 == pytest.approx(1.2824 * deviation_kw, rel=1e-4)  # t of 1,000 degrees of freedom
    assert found.kw_90 == pytest.approx(1.6464 * deviation_kw, rel=1e-4)
    assert found.share_80 == pytest.approx(found.kw_80 / 20.0)


def test_hours_average_out_and_autocorrelation_inflates_the_variance() -> None:
    hours = (HourTerm(MONDAY_14, True, 0.0), HourTerm(MONDAY_14 + 1, True, 0.0))
    starts = quarters(8)

    def width_kw(autocorrelation: float) -> float:
        told = figures(*hours, autocorrelation=autocorrelation)
        told = msgspec.structs.replace(told, temperatures_c=(25.0,) * 8)
        found = savings_uncertainty(told, measured(20.0, starts), NEW_YORK, ())
        assert found is not None
        return found.kw_80 / t_quantile(0.9, 1_000 * (1 - autocorrelation) / (1 + autocorrelation))

    assert width_kw(0.0) == pytest.approx((4.0 / 2 + 100.0 / 2) ** 0.5)
    assert width_kw(0.5) == pytest.approx((3 * (4.0 / 2 + 100.0 / 2)) ** 0.5)


def test_observations_are_reduced_by_their_autocorrelation() -> None:
    found = savings_uncertainty(
        figures(HourTerm(MONDAY_14, True, 0.0), autocorrelation=0.5, freedom=1_450),
        measured(20.0, quarters()),
        NEW_YORK,
        (),
    )
    assert found is not None
    assert (found.observations, found.effective_observations) == (1_500, 500.0)


def test_nothing_delivered_has_an_uncertainty_in_kw_and_no_share() -> None:
    term = figures(HourTerm(MONDAY_14, True, 0.0))
    found = savings_uncertainty(term, measured(-5.0, quarters()), NEW_YORK, ())
    assert found is not None
    assert found.share_80 is None
    assert found.share_90 is None
    assert found.kw_80 > 0
    assert savings_uncertainty(term, measured(1.0, quarters(), missing=4), NEW_YORK, ()) is None


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.90, 4, 1.5332), (0.95, 4, 2.1318), (0.90, 20, 1.3253), (0.95, 20, 1.7247), (0.95, 120, 1.6577)],
)
def test_the_quantiles_are_those_of_the_tables_of_student(
    probability: float, freedom: int, expected: float
) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(expected, abs=2e-3)
