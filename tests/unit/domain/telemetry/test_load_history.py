"""Steps shorter than a rollup: from the readings inside, or from the reading before, while it covers the
step.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.telemetry.load_history import LoadHistory, MeterPowers, history_from_readings
from domain.time_series.windows import TimeWindow

T0 = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
TWO_MINUTES = TimeWindow(T0, T0 + timedelta(minutes=2))


def meter(
    points: dict[float, float], *, name: str = "m1", first_s: float = -900, newest_s: float = 900
) -> MeterPowers:
    at = sorted(points)
    return MeterPowers(
        name,
        T0 + timedelta(seconds=first_s),
        T0 + timedelta(seconds=newest_s),
        np.array(at, dtype=np.float64),
        np.array([points[s] for s in at], dtype=np.float64),
    )


def steps(*meters: MeterPowers, window: TimeWindow = TWO_MINUTES) -> LoadHistory:
    return history_from_readings(window, 15, list(meters))


def shown(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def test_a_step_is_the_mean_and_the_extremes_of_its_readings() -> None:
    found = steps(meter({s: float(s) for s in range(0, 120, 5)}))
    assert shown(found.mean_kw)[:2] == [5.0, 20.0]
    assert (shown(found.min_kw)[:2], shown(found.max_kw)[:2]) == ([0.0, 15.0], [10.0, 25.0])
    assert found.kwh[1] == pytest.approx(20.0 * 15 / 3_600)
    assert found.coverage_pct.tolist() == [100.0] * 8


def test_a_reading_covers_the_steps_after_it_up_to_four_times_the_cadence() -> None:
    found = steps(meter({0: 8.0, 15: 8.0, 30: 9.0}))
    assert shown(found.mean_kw) == [8.0, 8.0, 9.0, 9.0, 9.0, 9.0, None, None]
    assert found.coverage_pct.tolist() == [100.0] * 6 + [0.0] * 2


def test_a_meter_that_reports_once_a_minute_has_a_value_in_every_step() -> None:
    found = steps(meter({-60: 5.0, 0: 6.0, 60: 7.0}))
    assert shown(found.mean_kw) == [6.0] * 4 + [7.0] * 4


def test_a_reading_before_the_window_covers_its_beginning() -> None:
    assert shown(steps(meter({-20: 3.0, -5: 4.0})).mean_kw)[:5] == [4.0] * 4 + [None]


def test_a_step_without_one_of_the_meters_is_missing() -> None:
    """A sum over fewer meters would look like a curtailment."""
    found = steps(meter(dict.fromkeys(range(0, 120, 15), 8.0)), meter({}, name="silent"))
    assert shown(found.mean_kw) == [None] * 8
    assert found.coverage_pct.tolist() == [50.0] * 8


def test_a_meter_counts_from_its_first_quarter_hour_to_a_day_after_its_last() -> None:
    day = TimeWindow(T0, T0 + timedelta(hours=24))
    old = meter(dict.fromkeys(range(0, 86400, 15), 8.0))
    new = meter(dict.fromkeys(range(7200, 86400, 15), 1.0), name="new", first_s=7_200, newest_s=86_385)
    gone = meter({}, name="gone", first_s=-86_400, newest_s=-80_000)
    found = shown(steps(old, new, gone, window=day).mean_kw)
    assert found == [None] * 420 + [8.0] * 60 + [9.0] * 5_280


def test_steps_without_readings_are_missing_and_not_zero() -> None:
    for found in (steps(), steps(meter({}))):
        assert (shown(found.mean_kw), found.coverage_pct.tolist()) == ([None] * 8, [0.0] * 8)


@given(st.dictionaries(st.integers(-900, 119), st.integers(-50, 50), max_size=60))
def test_the_mean_lies_between_the_extremes_and_covered_steps_have_a_value(
    points: dict[float, float],
) -> None:
    found = steps(meter({float(s): float(kw) for s, kw in points.items()}))
    known = np.isfinite(found.mean_kw)
    assert (found.min_kw[known] <= found.mean_kw[known] + 1e-9).all()
    assert (found.mean_kw[known] <= found.max_kw[known] + 1e-9).all()
    assert ((found.coverage_pct >= 0) & (found.coverage_pct <= 100)).all()
    assert known[found.coverage_pct > 50].all()
