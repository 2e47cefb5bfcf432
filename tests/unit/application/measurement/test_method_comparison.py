"""The comparison of baseline methods: what they see, what they refuse, and their error."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from math import sqrt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from application.measurement.baseline import RegressionInputs, explained_baseline
from application.measurement.method_comparison import (
    ComparedFacility,
    ComparisonTerms,
    FacilityComparison,
    compared_facility,
)
from domain.baseline import METHODS, BaselineParameters, BaselineRule, rule_named
from domain.baseline.comparison.days import LocalWindow
from domain.time_series.windows import FloatArray, IntervalSeries, NotAligned
from tests.fakes.regression_fitter import PseudoInverseFitter

LONDON = ZoneInfo("Europe/London")
FIRST = date(2026, 2, 2)  # a Monday; clocks change on 29 March
START = datetime(2026, 2, 2, tzinfo=UTC)
DAY = date(2026, 5, 13)
WINDOW = "14:00-18:00"
COMPARED = tuple(name for name in METHODS if name != "firm-service-level")
ADJUSTED = {
    "caiso-10-in-10": [10, 11, 12],
    "high-4-of-5": [10, 11, 12],
    "high-5-of-10": [10, 11],
    "mid-8-of-10": [10, 11, 12],
    "x-of-y": [10, 11, 12],
}
"""The hours of the adjustment window, for a DR event from 14:00 on."""


@cache
def readings(days: int = 102) -> tuple[FloatArray, FloatArray]:
    """Load (kW) and temperature by hour: a working week that follows the weather, with noise."""
    hour = np.arange(days * 24)
    random = np.random.default_rng(7)
    temp_c = 12 + 6 * np.sin(hour / 24 * 2 * np.pi) + np.repeat(random.normal(0, 4, days), 24)
    is_working = (hour // 24 % 7 < 5) & (hour % 24 >= 8) & (hour % 24 < 19)
    return (
        100 + 40 * is_working * (1 + np.maximum(temp_c - 15, 0) / 10) + random.normal(0, 3, len(hour)),
        temp_c,
    )


def hour_of(day: date, hour: int) -> int:
    """The index of a local hour of London."""
    return int((datetime(day.year, day.month, day.day, hour, tzinfo=LONDON) - START).total_seconds()) // 3600


def terms(*methods: str, window: str = WINDOW, **more: object) -> ComparisonTerms:
    rules = {name: rule_named(name) for name in methods}
    return ComparisonTerms(window=LocalWindow.parse(window), rules=rules, **more)  # type: ignore[arg-type]


def facility(load_kw: FloatArray, temp_c: FloatArray | None = None, **more: object) -> ComparedFacility:
    temperatures = readings()[1] if temp_c is None else temp_c
    inputs = RegressionInputs(
        fitter=PseudoInverseFitter(), temperatures=IntervalSeries(START, 3600, temperatures)
    )
    return ComparedFacility(IntervalSeries(START, 3600, load_kw), inputs, LONDON, terms(**more))  # type: ignore[arg-type]


def rule_of(method: str) -> BaselineRule:
    """A regression of four weeks takes less time than one of ten."""
    return rule_named(method, BaselineParameters(lookback_days=28))


def baseline_of(one: ComparedFacility, method: str, day: date = DAY) -> list[float] | None:
    """The baseline of one of the compared days; the others are left out, for speed."""
    one.days = [other for other in one.days if other.day == day]
    (baseline_kw,) = one.baselines_kw(rule_of(method))
    return None if baseline_kw is None else baseline_kw.tolist()


@pytest.mark.parametrize("method", COMPARED)
def test_no_method_sees_what_was_metered_in_the_window_of_the_day(method: str) -> None:
    load_kw = readings()[0].copy()
    before = baseline_of(facility(load_kw), method)
    load_kw[hour_of(DAY, 14) : hour_of(DAY, 18)] = [9e5, 0.0, np.nan, -50.0]
    load_kw[hour_of(DAY, 18) :] = 7e5  # nor anything after it
    assert before is not None
    assert baseline_of(facility(load_kw), method) == before


@pytest.mark.parametrize("method", ADJUSTED)
def test_of_the_day_itself_an_adjustment_sees_only_its_adjustment_window(method: str) -> None:
    load_kw = readings()[0]
    before = baseline_of(facility(load_kw), method)
    changes = {}
    for hour in (0, 9, 10, 11, 12, 13, 15, 19):
        changed = load_kw.copy()
        changed[hour_of(DAY, hour)] *= 1.1
        changes[hour] = baseline_of(facility(changed), method) != before
    assert [hour for hour, is_seen in changes.items() if is_seen] == ADJUSTED[method]


def test_the_meter_before_sees_only_the_hour_before_the_window() -> None:
    load_kw = readings()[0].copy()
    load_kw[hour_of(DAY, 13)] = 321.0
    assert baseline_of(facility(load_kw), "meter-before-meter-after") == pytest.approx([321.0] * 4)


@pytest.mark.parametrize("method", COMPARED)
@pytest.mark.parametrize("day", [DAY, date(2026, 4, 7)])
def test_the_baseline_of_a_day_is_the_one_that_baseline_compute_gives(method: str, day: date) -> None:
    load_kw, temp_c = readings()
    event_days, holidays = frozenset({date(2026, 5, 11)}), frozenset({date(2026, 4, 3), date(2026, 4, 6)})
    one = facility(load_kw, dr_event_days=event_days, holidays=holidays)
    window = next(other.window for other in one.days if other.day == day)
    computed = explained_baseline(
        rule_of(method),
        IntervalSeries(START, 3600, load_kw),
        window,
        tz=LONDON,
        inputs=RegressionInputs(
            fitter=PseudoInverseFitter(), temperatures=IntervalSeries(START, 3600, temp_c)
        ),
        dr_event_days=event_days,
        holidays=holidays,
    )
    expected = [interval.adjusted_kw for interval in computed.baseline.intervals]
    assert baseline_of(one, method, day) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("is_constant", [True, False], ids=["one temperature", "always above 10 degrees"])
def test_where_columns_of_a_regression_depend_on_each_other_the_fitter_decides(is_constant: bool) -> None:
    load_kw, temp_c = readings()[0], np.full(102 * 24, 20.0) if is_constant else readings()[1] + 30
    one = facility(load_kw, temp_c)
    window = next(other.window for other in one.days if other.day == DAY)
    computed = explained_baseline(
        rule_of("regression"),
        IntervalSeries(START, 3600, load_kw),
        window,
        tz=LONDON,
        inputs=RegressionInputs(
            fitter=PseudoInverseFitter(), temperatures=IntervalSeries(START, 3600, temp_c)
        ),
    )
    expected = [interval.adjusted_kw for interval in computed.baseline.intervals]
    assert baseline_of(one, "regression") == pytest.approx(expected, rel=1e-8)


def test_the_days_are_weekdays_without_a_dr_event_or_holiday_with_45_days_before_them() -> None:
    event_day, holiday = FIRST + timedelta(days=46), FIRST + timedelta(days=49)
    load_kw = readings()[0].copy()
    unmetered = FIRST + timedelta(days=50)
    load_kw[hour_of(unmetered, 14) : hour_of(unmetered, 18)] = np.nan
    one = facility(load_kw, dr_event_days=frozenset({event_day}), holidays=frozenset({holiday}))
    expected = [FIRST + timedelta(days=n) for n in range(45, 102)]
    left_out = {event_day, holiday, unmetered}
    assert [day.day for day in one.days] == [d for d in expected if d.weekday() < 5 and d not in left_out]


def compared(load_kw: FloatArray, temp_c: FloatArray, *methods: str, **more: object) -> FacilityComparison:
    inputs = RegressionInputs(fitter=PseudoInverseFitter(), temperatures=IntervalSeries(START, 3600, temp_c))
    return compared_facility(
        IntervalSeries(START, 3600, load_kw),
        inputs,
        ZoneInfo("UTC"),
        terms(*methods, **more),  # type: ignore[arg-type]
    )


def test_the_error_is_the_adjusted_baseline_minus_the_metered_intervals() -> None:
    """Flat at 100 kW, so every baseline is 100; on the last Friday the window has 80, 120, none and 110 kW."""
    load_kw, temp_c = np.full(61 * 24, 100.0), np.zeros(61 * 24)
    friday = 60 * 24 - 24 * ((FIRST + timedelta(days=60)).weekday() - 4)
    load_kw[friday + 14 : friday + 18] = [80.0, 120.0, np.nan, 110.0]
    temp_c[friday + 14] = 30.0
    found = compared(load_kw, temp_c, "mid-8-of-10", hot_share=0.05)
    score = found.methods["mid-8-of-10"]
    errors = [20.0, -20.0, -10.0]
    intervals = 4 * (found.days - 1) + 3
    total_kw = 100.0 * 4 * (found.days - 1) + 310.0
    assert (score.days, score.refused) == (found.days, 0)
    assert score.bias == pytest.approx(sum(errors) / total_kw)
    assert score.cvrmse == pytest.approx(sqrt(900 / intervals) / (total_kw / intervals))
    assert score.hot.days == 1
    assert score.hot.bias == pytest.approx(-10 / 310)
    assert score.hot.cvrmse == pytest.approx(sqrt(300) / (310 / 3))


def test_days_that_a_method_cannot_do_are_counted_and_left_out_of_its_error() -> None:
    load_kw = np.full(61 * 24, 100.0)
    load_kw[10 * 24 : 40 * 24] = np.nan
    found = compared(load_kw, np.full(61 * 24, np.nan), "caiso-10-in-10", "high-4-of-5", "regression")
    refused = {name: (one.days, one.refused) for name, one in found.methods.items()}
    assert refused == {"caiso-10-in-10": (10, 2), "high-4-of-5": (12, 0), "regression": (0, 12)}
    assert found.methods["regression"].bias is None
    assert found.methods["caiso-10-in-10"].hot.days == 0  # no temperature


def test_a_window_off_the_steps_of_the_readings_is_refused() -> None:
    with pytest.raises(NotAligned, match="not on a boundary of the 3600 s steps"):
        compared(readings()[0], readings()[1], "mid-8-of-10", window="14:15-18:00")
