"""The scores of compared methods over facilities, and the window that is compared."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from domain.baseline.comparison.days import LocalWindow
from domain.baseline.comparison.scores import MethodScore, Score, hottest, overall, recommended
from domain.time_series.windows import InvalidWindow, TimeWindow

LONDON = ZoneInfo("Europe/London")
NOTHING = Score(days=0, bias=None, cvrmse=None)


def score(bias: float | None, cvrmse: float | None, *, refused: int = 0, hot: Score = NOTHING) -> MethodScore:
    return MethodScore(days=0 if cvrmse is None else 10, bias=bias, cvrmse=cvrmse, refused=refused, hot=hot)


def test_facilities_are_joined_by_median_and_geometric_mean() -> None:
    hot = Score(days=2, bias=-0.02, cvrmse=0.1)
    found = overall([score(0.01, 0.02, hot=hot), score(-0.03, 0.08, refused=2), score(0.02, 0.04)])
    assert (found.facilities, found.days, found.refused) == (3, 30, 2)
    assert (found.bias_median, found.cvrmse_median) == (0.01, 0.04)
    assert found.cvrmse_geomean == pytest.approx(0.04)
    assert (found.hot.facilities, found.hot.days) == (1, 2)
    assert found.hot.cvrmse_geomean == pytest.approx(0.1)


def test_a_facility_without_figures_counts_only_its_refusals() -> None:
    found = overall([score(None, None, refused=7), score(0.01, 0.05)])
    assert (found.facilities, found.refused, found.cvrmse_median) == (1, 7, 0.05)
    assert overall([score(None, None)]).cvrmse_geomean is None


def test_a_facility_without_error_makes_the_geometric_mean_zero() -> None:
    assert overall([score(0.0, 0.0), score(0.0, 0.1)]).cvrmse_geomean == 0.0


def test_the_recommended_method_has_the_least_error_of_those_with_little_bias() -> None:
    methods = {
        "precise but biased": overall([score(0.016, 0.03)]),
        "within": overall([score(-0.015, 0.05)]),
        "worse": overall([score(0.0, 0.06)]),
        "refused everywhere": overall([score(None, None)]),
    }
    assert recommended(methods) == "within"
    assert recommended({"biased": methods["precise but biased"]}) is None


def test_the_hottest_share_counts_days_with_a_temperature() -> None:
    temp_c = np.array([20.0, np.nan, 30.0, 25.0, 30.0, 10.0])
    assert hottest(temp_c, 0.4) == {2, 4}
    assert hottest(temp_c, 0.2) == {2}  # of equally hot days the first
    assert hottest(temp_c, 0.01) == {2}
    assert hottest(np.array([np.nan]), 0.5) == frozenset()


@pytest.mark.parametrize(
    ("written", "start", "end"),
    [
        ("14:00-18:00", datetime(2026, 7, 14, 13, tzinfo=UTC), datetime(2026, 7, 14, 17, tzinfo=UTC)),
        ("20:00-24:00", datetime(2026, 7, 14, 19, tzinfo=UTC), datetime(2026, 7, 14, 23, tzinfo=UTC)),
        ("22:30-2:00", datetime(2026, 7, 14, 21, 30, tzinfo=UTC), datetime(2026, 7, 15, 1, tzinfo=UTC)),
    ],
)
def test_a_window_is_local_and_may_end_on_the_next_day(written: str, start: datetime, end: datetime) -> None:
    assert LocalWindow.parse(written).on(date(2026, 7, 14), LONDON) == TimeWindow(start, end)


def test_a_window_whose_start_a_clock_change_skips_does_not_exist_on_that_day() -> None:
    assert LocalWindow.parse("01:00-04:00").on(date(2026, 3, 29), LONDON) is None
    assert LocalWindow.parse("00:00-01:30").on(date(2026, 3, 29), LONDON) is None


@pytest.mark.parametrize("written", ["", "14-18", "14:00", "25:00-26:00", "14:00-18:00-20:00", "10:00-10:00"])
def test_what_is_no_window_is_refused_with_an_example_or_the_reason(written: str) -> None:
    with pytest.raises(InvalidWindow, match=r"such as 14:00-18:00|is empty"):
        LocalWindow.parse(written)
