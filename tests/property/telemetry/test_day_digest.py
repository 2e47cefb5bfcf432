"""The digest of a day's values: equal values have one digest, and every change of a value has another."""

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.telemetry.day_digest import FacilityValues, day_digest
from domain.time_series.windows import IntervalSeries, TimeWindow

START = datetime(2026, 7, 13, 4, 0, tzinfo=UTC)
KW = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=96, max_size=96)


def values(kw: list[float | None], coverage: float = 100.0, temp_c: float = 21.5) -> FacilityValues:
    return FacilityValues(
        IntervalSeries.of(START, 900, kw), np.full(len(kw), coverage), np.full(len(kw), temp_c)
    )


@given(KW, st.integers(0, 95), st.floats(1.0, 1e6))
def test_another_value_has_another_digest(kw: list[float | None], nth: int, by: float) -> None:
    changed = list(kw)
    changed[nth] = by if kw[nth] is None else None
    one, other = day_digest(values(kw)), day_digest(values(changed))
    assert one == day_digest(values(list(kw)))
    assert one.readings != other.readings
    assert one.temperatures == other.temperatures


@given(KW)
def test_coverage_counts_to_a_tenth_of_a_percent_and_temperatures_apart(kw: list[float | None]) -> None:
    one = day_digest(values(kw, coverage=33.3333))
    assert one == day_digest(values(kw, coverage=float(np.float32(33.3333))))
    assert one.readings != day_digest(values(kw, coverage=34.0)).readings
    warmer = day_digest(values(kw, coverage=33.3333, temp_c=21.6))
    assert (one.readings, one.temperatures) != (warmer.readings, warmer.temperatures)
    assert one.readings == warmer.readings
    assert day_digest(values(kw, temp_c=float("nan"))).temperatures is None


def test_another_day_with_the_same_values_has_another_digest() -> None:
    two_days = values([800.0] * 192)
    first = two_days.within(TimeWindow(START, START.replace(day=14)))
    second = two_days.within(TimeWindow(START.replace(day=14), START.replace(day=15)))
    assert day_digest(first) == day_digest(values([800.0] * 96))
    assert day_digest(first).readings != day_digest(second).readings
