"""Properties of quarter-hours, and of stored intervals on a grid."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.telemetry.intervals import INTERVAL, interval_start
from domain.time_series.interval_block import StoredIntervals, block_of
from domain.time_series.windows import TimeWindow

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)


@given(st.timedeltas(timedelta(days=-9_000), timedelta(days=9_000)))
def test_a_moment_lies_in_its_interval(after: timedelta) -> None:
    moment = T0 + after
    start = interval_start(moment)
    assert start <= moment < start + INTERVAL
    assert start.minute % 15 == start.second == start.microsecond == 0


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
def test_the_interval_that_counts_does_not_depend_on_their_order(
    rows: list[tuple[int, int, int, float, float, bool]],
) -> None:
    block = block_of(["f"], TimeWindow(T0, T0 + timedelta(hours=1)), 900, stored(rows))
    assert block.mean_kw.tolist() == [[4.0, 5.0, 7.0, 4.0]]
    assert block.expanded.tolist() == [[True, False, False, True]]
    assert block.coverage_pct.tolist() == [[100.0, 100.0, 51.0, 100.0]]


@given(st.integers(-96, 96), st.sampled_from([900, 1800, 3600]))
def test_an_interval_outside_the_window_changes_nothing(number: int, step_s: int) -> None:
    offset = number * step_s
    block = block_of(
        ["f"], TimeWindow(T0, T0 + timedelta(hours=1)), 900, stored([(0, offset, step_s, 3.0, 100.0, False)])
    )
    overlap_s = max(0, min(3600, offset + step_s) - max(0, offset))
    assert np.isfinite(block.mean_kw).sum() == overlap_s // 900


def test_without_stored_intervals_every_value_of_the_grid_is_missing() -> None:
    empty = StoredIntervals(*(np.array([], dtype=k) for k in (int, int, int, float, float, float, bool)))
    block = block_of(["f", "g"], TimeWindow(T0, T0 + timedelta(hours=1)), 900, empty)
    assert np.isnan(block.mean_kw).all()
    assert block.mean_kw.shape == (2, 4)
    with pytest.raises(KeyError):
        block.series("h")
