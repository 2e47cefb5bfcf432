"""Quarter-hours out of readings, and stored intervals onto a grid: what holds for all of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.interval_block import StoredIntervals, block_of
from domain.meter_intervals import (
    INTERVAL,
    MeterPoints,
    expects_meter,
    interval_start,
    metered_interval,
    touched_starts,
)
from domain.time_windows import TimeWindow

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
NONE = np.array([])
offsets = st.lists(st.integers(-900, 899), min_size=1, max_size=60, unique=True).map(sorted)


def points(at: list[int], kw: float = 10.0, register: float = float("nan")) -> MeterPoints:
    return MeterPoints(np.array(at, float), np.full(len(at), kw), np.full(len(at), register))


@given(offsets, st.floats(-1e6, 1e6))
def test_a_constant_load_is_its_own_mean_and_coverage_is_a_percentage(at: list[int], kw: float) -> None:
    interval = metered_interval("f", T0, ["m"], {"m": points(at, kw)})
    if at[-1] >= 0:
        assert interval.mean_kw == pytest.approx(kw)
        assert interval.kwh == pytest.approx(kw / 4)
    else:
        assert interval.mean_kw is None
    assert 0 <= interval.coverage_pct <= 100


@given(offsets, st.integers(-900, 899))
def test_one_more_reading_never_uncovers_what_a_regular_meter_covered(at: list[int], extra: int) -> None:
    regular = list(range(-900, 900, 15))
    assert metered_interval("f", T0, ["m"], {"m": points(regular)}).coverage_pct == 100.0
    more = sorted({*regular, extra})
    assert metered_interval("f", T0, ["m"], {"m": points(more)}).coverage_pct == 100.0


def test_a_gap_counts_as_far_as_four_cadences() -> None:
    at = [s for s in range(-900, 900, 15) if not 300 <= s < 600]
    # 285 speaks until 345, so that 255 of 900 seconds are nobody's.
    assert metered_interval("f", T0, ["m"], {"m": points(at)}).coverage_pct == pytest.approx(
        100 * 645 / 900, abs=1e-3
    )


def test_an_expected_meter_without_readings_makes_the_mean_missing() -> None:
    interval = metered_interval("f", T0, ["m", "n"], {"m": points(list(range(0, 900, 15)))})
    assert interval.mean_kw is None
    assert interval.coverage_pct == pytest.approx(50.0)


def test_a_register_that_was_reset_says_nothing() -> None:
    falling = MeterPoints(np.array([0.0, 800.0]), np.full(2, np.nan), np.array([500.0, 3.0]))
    assert metered_interval("f", T0, ["m"], {"m": falling}).mean_kw is None
    single = MeterPoints(np.array([0.0]), np.full(1, np.nan), np.array([500.0]))
    assert metered_interval("f", T0, ["m"], {"m": single}).mean_kw is None


@given(st.timedeltas(timedelta(days=-9_000), timedelta(days=9_000)))
def test_a_moment_lies_in_its_interval(after: timedelta) -> None:
    moment = T0 + after
    start, following = touched_starts(moment)
    assert start == interval_start(moment) <= moment < following == start + INTERVAL
    assert start.minute % 15 == start.second == start.microsecond == 0


def test_a_meter_belongs_from_its_first_reading_until_a_day_after_its_last() -> None:
    first, newest = T0 + timedelta(minutes=14), T0 + timedelta(days=3)
    before = T0 - INTERVAL
    assert expects_meter(T0, first_reading_at=first, newest_reading_at=newest)
    assert not expects_meter(before, first_reading_at=first, newest_reading_at=newest)
    assert expects_meter(newest + timedelta(days=1), first_reading_at=first, newest_reading_at=newest)
    assert not expects_meter(
        newest + timedelta(days=1, seconds=1), first_reading_at=first, newest_reading_at=newest
    )


def stored(rows: list[tuple[int, int, int, float, float, bool]]) -> StoredIntervals:
    facility, offset, step, kw, coverage, metered = (np.array(c) for c in zip(*rows, strict=True))
    nothing = np.full(len(rows), np.nan)
    return StoredIntervals(facility, offset, step, kw.astype(float), nothing, coverage.astype(float), metered)


@given(
    st.permutations(
        [
            (0, 0, 3600, 4.0, 100.0, False),
            (0, 900, 900, 5.0, 100.0, False),
            (0, 900, 900, 6.0, 49.0, True),
            (0, 1800, 900, 7.0, 51.0, True),
            (0, 2700, 300, 1.0, 100.0, False),
            (0, 3000, 300, 2.0, 100.0, False),
        ]
    )
)
def test_which_interval_counts_does_not_depend_on_their_order(
    rows: list[tuple[int, int, int, float, float, bool]],
) -> None:
    block = block_of(["f"], TimeWindow(T0, T0 + timedelta(hours=1)), 900, stored(rows))
    assert block.mean_kw.tolist() == [[4.0, 5.0, 7.0, 4.0]]
    assert block.expanded.tolist() == [[True, False, False, True]]
    assert block.coverage_pct.tolist() == [[100.0, 100.0, 51.0, 100.0]]


@given(st.integers(-96, 96), st.sampled_from([900, 1800, 3600]))
def test_an_interval_outside_the_window_leaves_no_trace(number: int, step_s: int) -> None:
    offset = number * step_s
    block = block_of(
        ["f"], TimeWindow(T0, T0 + timedelta(hours=1)), 900, stored([(0, offset, step_s, 3.0, 100.0, False)])
    )
    overlap_s = max(0, min(3600, offset + step_s) - max(0, offset))
    assert np.isfinite(block.mean_kw).sum() == overlap_s // 900


def test_nothing_stored_is_a_grid_of_nothing() -> None:
    empty = StoredIntervals(*(np.array([], dtype=k) for k in (int, int, int, float, float, float, bool)))
    block = block_of(["f", "g"], TimeWindow(T0, T0 + timedelta(hours=1)), 900, empty)
    assert np.isnan(block.mean_kw).all()
    assert block.mean_kw.shape == (2, 4)
    with pytest.raises(KeyError):
        block.series("h")
