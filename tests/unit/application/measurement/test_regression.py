"""A fitted regression baseline: from load and temperatures to figures that recompute it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from adapters.regression import StatsmodelsFitter
from application.measurement.baseline import ExplainedBaseline, RegressionInputs, explained_baseline
from domain.baseline import (
    BaselineImpossible,
    BaselineParameters,
    InvalidBaselineRule,
    TooFewBaselineDays,
    rule_named,
)
from domain.baseline.regression.model import RegressionFigures, regression_baseline
from domain.time_series.windows import FloatArray, IntervalSeries, TimeWindow

NEW_YORK = ZoneInfo("America/New_York")
FIRST = datetime(2026, 4, 20, 4, tzinfo=UTC)
DAYS = 90
WINDOW = TimeWindow(datetime(2026, 7, 14, 18, tzinfo=UTC), datetime(2026, 7, 14, 21, 30, tzinfo=UTC))
LOCAL = [(FIRST + timedelta(minutes=15 * i)).astimezone(NEW_YORK) for i in range(96 * DAYS)]
HOUR = np.array([at.hour for at in LOCAL])
WORKING = np.array([at.weekday() < 5 for at in LOCAL])
FITTER = StatsmodelsFitter()


def temperatures(seed: int = 1) -> FloatArray:
    """Rising through the spring, with a daily cycle and warm and cool spells."""
    daily = np.repeat(np.random.default_rng(seed).normal(0, 3, DAYS), 96)
    result: FloatArray = 18 + np.arange(len(LOCAL)) / 900 + 6 * np.sin((HOUR - 9) / 24 * 2 * np.pi) + daily
    return result


def load(temp_c: FloatArray) -> FloatArray:
    """150 kW, and from 7 to 19 on working days 150 kW more with 10 kW a kelvin above 18 degrees."""
    occupied = WORKING & (HOUR >= 7) & (HOUR < 19)
    return np.where(occupied, 300 + 10 * np.maximum(temp_c - 18, 0), 150 + temp_c)


def noise(seed: int, *, deviation_kw: float = 8.0, correlation: float = 0.95) -> FloatArray:
    drawn = np.random.default_rng(seed).normal(size=len(LOCAL)) * deviation_kw * (1 - correlation**2) ** 0.5
    values = np.empty(len(LOCAL))
    last = 0.0
    for index, value in enumerate(drawn):
        last = correlation * last + value
        values[index] = last
    return values


def series(values: FloatArray) -> IntervalSeries:
    return IntervalSeries(FIRST, 900, values)


def fitted(
    load_kw: FloatArray,
    temp_c: FloatArray | None,
    *,
    window: TimeWindow = WINDOW,
    lookback_days: int = 70,
    dr_event_days: frozenset[date] = frozenset(),
    holidays: frozenset[date] = frozenset(),
) -> ExplainedBaseline:
    return explained_baseline(
        rule_named("regression", BaselineParameters(lookback_days=lookback_days)),
        series(load_kw),
        window,
        tz=NEW_YORK,
        inputs=RegressionInputs(
            fitter=FITTER, temperatures=series(np.full(len(load_kw), np.nan) if temp_c is None else temp_c)
        ),
        dr_event_days=dr_event_days,
        holidays=holidays,
    )


def shed(load_kw: FloatArray, kw: float) -> FloatArray:
    first = round((WINDOW.starts_at - FIRST) / timedelta(minutes=15))
    changed = load_kw.copy()
    changed[first : first + 14] -= kw
    return changed


def test_the_baseline_is_the_load_at_that_temperature_and_the_rest_is_delivered() -> None:
    temp_c = temperatures()
    found = fitted(shed(load(temp_c), 40), temp_c)
    assert found.baseline.delivered_kw == pytest.approx(40, abs=3)
    assert found.uncertainty is not None
    assert found.uncertainty.kw_80 < 10


def test_the_recorded_figures_suffice_to_recompute_the_baseline_bit_by_bit() -> None:
    temp_c = temperatures()
    found = fitted(load(temp_c) + noise(1), temp_c, holidays=frozenset({date(2026, 7, 3)}))
    recorded = msgspec.json.decode(msgspec.json.encode(found.regression), type=RegressionFigures)
    starts = [interval.starts_at for interval in found.baseline.intervals]
    again = regression_baseline(recorded, starts, NEW_YORK, {date(2026, 7, 3)}, recorded.temperatures_c)
    assert again.tolist() == [interval.baseline_kw for interval in found.baseline.intervals]


def test_the_figures_of_a_whole_day_stay_below_ten_kilobytes() -> None:
    temp_c = temperatures()
    day = TimeWindow(datetime(2026, 7, 14, 4, tzinfo=UTC), datetime(2026, 7, 15, 4, tzinfo=UTC))
    found = fitted(load(temp_c) + noise(1), temp_c, window=day)
    assert found.regression is not None
    assert len(found.regression.hours) == 24
    assert len(msgspec.json.encode(found.regression)) < 10_000


def test_the_intervals_of_confidence_hold_in_at_least_their_share_of_cases() -> None:
    """With correlated residuals; conservative, because hours of one window count as if they followed each other."""
    runs, within_80, within_90 = 10, 0, 0
    for seed in range(runs):
        temp_c = temperatures(seed)
        found = fitted(load(temp_c) + noise(seed), temp_c)
        assert found.uncertainty is not None
        assert found.baseline.delivered_kw is not None
        within_80 += abs(found.baseline.delivered_kw) <= found.uncertainty.kw_80
        within_90 += abs(found.baseline.delivered_kw) <= found.uncertainty.kw_90
    assert within_80 >= 0.8 * runs
    assert within_90 >= 0.9 * runs


def test_the_day_of_the_window_and_days_of_dr_events_are_not_seen() -> None:
    temp_c = temperatures()
    usual = fitted(load(temp_c), temp_c, dr_event_days=frozenset({date(2026, 7, 7)}))
    changed = load(temp_c)
    for day in (7, 14):
        start = round((datetime(2026, 7, day, 4, tzinfo=UTC) - FIRST) / timedelta(minutes=15))
        changed[start : start + 48] += 500  # until noon
    found = fitted(changed, temp_c, dr_event_days=frozenset({date(2026, 7, 7)}))
    assert found.regression == usual.regression
    assert [(skip.day, skip.why) for skip in found.baseline.skipped] == [(date(2026, 7, 7), "dr_event_day")]


def test_days_without_load_or_temperature_are_skipped_with_the_reason() -> None:
    temp_c = temperatures()
    load_kw = load(temp_c)
    of_day = {
        day: round((datetime(2026, 7, day, 4, tzinfo=UTC) - FIRST) / timedelta(minutes=15)) for day in (8, 9)
    }
    load_kw[of_day[8] : of_day[8] + 96] = np.nan
    temp_c[of_day[9] : of_day[9] + 96] = np.nan
    found = fitted(load_kw, temp_c)
    assert [(skip.day.day, skip.why) for skip in found.baseline.skipped] == [
        (9, "no_temperature"),
        (8, "missing_interval"),
    ]


def test_without_temperatures_the_refusal_says_where_they_come_from() -> None:
    with pytest.raises(BaselineImpossible, match=r"needs outdoor temperatures.*temp_c"):
        fitted(load(temperatures()), None)


def test_a_window_without_a_temperature_is_refused() -> None:
    temp_c = temperatures()
    temp_c[round((WINDOW.starts_at - FIRST) / timedelta(minutes=15)) :] = np.nan
    with pytest.raises(
        BaselineImpossible, match="no outdoor temperature is known for the hour of 2026-07-14 14:00"
    ):
        fitted(load(temperatures()), temp_c)


def test_too_few_days_are_counted() -> None:
    temp_c = temperatures()
    load_kw = load(temp_c)
    load_kw[: 96 * 70] = np.nan
    with pytest.raises(TooFewBaselineDays, match="only 15 of 21 baseline days in the 70 days before"):
        fitted(load_kw, temp_c)


def test_an_hour_of_the_week_that_the_training_hardly_has_is_named() -> None:
    temp_c = temperatures()
    load_kw = load(temp_c)
    tuesdays = np.array([at.weekday() == 1 and at.date() < date(2026, 7, 14) for at in LOCAL])
    load_kw[tuesdays] = np.nan
    with pytest.raises(BaselineImpossible, match="only 0 of 3 usable hours Tuesday 14:00"):
        fitted(load_kw, temp_c)


def test_a_lookback_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidBaselineRule, match="28 to 400 days, got 7"):
        rule_named("regression", BaselineParameters(lookback_days=7))
