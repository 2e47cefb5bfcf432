"""The comparison's baselines by days against `compute_baseline`, the one that measurements use."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.baseline import BaselineImpossible, BaselineParameters, compute_baseline, rule_named
from domain.baseline.comparison.day_averages import day_average_baselines
from domain.baseline.comparison.days import LocalLoads, LocalWindow, compared_days
from domain.baseline.days import Calendar
from domain.baseline.rules import DayAverageRule
from domain.time_series.windows import IntervalSeries
from tests.sizes import examples

DAYS = 70
# Cairo and Gaza change their clocks on weekdays.
ZONES = ("UTC", "Europe/London", "Africa/Cairo", "Asia/Gaza", "Australia/Sydney", "Asia/Kolkata")
WINDOWS = ("14:00-18:00", "00:00-03:00", "22:00-02:00", "09:00-10:00", "20:00-24:00")


@st.composite
def rules(draw: st.DrawFn) -> DayAverageRule:
    name = draw(st.sampled_from(["caiso-10-in-10", "high-4-of-5", "high-5-of-10", "mid-8-of-10", "x-of-y"]))
    parameters = BaselineParameters(
        x=3,
        y=draw(st.sampled_from([3, 5, 7])),
        pick=draw(st.sampled_from(["high", "mid", "low"])),
        adjustment=draw(st.sampled_from(["none", "multiplicative", "additive"])),
        cap=draw(st.sampled_from([None, 0.1])),
        upward_only=draw(st.booleans()),
        adjustment_until_s=draw(st.sampled_from([0, 3600])),
    )
    rule = rule_named(name, parameters)
    assert isinstance(rule, DayAverageRule)
    return rule


@settings(max_examples=examples(25), deadline=None)
@given(
    rule=rules(),
    zone=st.sampled_from(ZONES),
    written=st.sampled_from(WINDOWS),
    first=st.dates(date(2025, 1, 5), date(2026, 10, 1)),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_day_has_the_baseline_that_compute_baseline_gives_it(
    rule: DayAverageRule, zone: str, written: str, first: date, seed: int
) -> None:
    random = np.random.default_rng(seed)
    tz, window = ZoneInfo(zone), LocalWindow.parse(written)
    # Whole numbers, so that days have equal loads; days of almost nothing; hours of exactly nothing; gaps.
    load_kw = random.integers(90, 96, DAYS * 24).astype(float)
    load_kw *= np.repeat(random.choice([1.0, 0.1, 0.0], DAYS, p=[0.85, 0.12, 0.03]), 24)
    load_kw[random.random(load_kw.shape) < 0.01] = np.nan
    half_hour = timedelta(minutes=30 if zone == "Asia/Kolkata" else 0)
    metered = IntervalSeries(
        datetime(first.year, first.month, first.day, tzinfo=UTC) + half_hour, 3600, load_kw
    )
    event_days, holidays = (
        frozenset(first + timedelta(days=int(n)) for n in random.integers(0, DAYS, 4)) for _ in range(2)
    )
    calendar = Calendar(tz, event_days, holidays)
    days = compared_days(metered, window, calendar)
    baselines_kw = day_average_baselines(rule, LocalLoads(metered, tz), days, window, calendar)
    for day, baseline_kw in zip(days, baselines_kw, strict=True):
        try:
            expected = compute_baseline(
                rule, metered, day.window, tz=tz, dr_event_days=event_days, holidays=holidays
            )
        except BaselineImpossible:
            assert baseline_kw is None, day.day
        else:
            assert baseline_kw is not None, day.day
            assert baseline_kw.tolist() == pytest.approx(
                [interval.adjusted_kw for interval in expected.intervals], rel=1e-12
            )
