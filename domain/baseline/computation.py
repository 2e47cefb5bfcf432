"""Computation of a baseline from metered load and a rule."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from msgspec.structs import replace

from domain.baseline.adjustment import adjusted, adjustment_of, adjustment_window
from domain.baseline.days import Calendar, choose_days
from domain.baseline.regression.model import RegressionFigures, regression_baseline
from domain.baseline.result import Adjustment, Baseline, BaselineImpossible, BaselineInterval
from domain.baseline.rules import BaselineRule, DayAverageRule, MeterBeforeRule, RegressionRule
from domain.time_series.windows import FloatArray, IntervalSeries, TimeWindow, same_local_time

UNADJUSTED = Adjustment(kind="none")
"""The adjustment of a rule without one."""


def compute_baseline(
    rule: BaselineRule,
    metered: IntervalSeries,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    dr_event_days: Collection[date] = (),
    holidays: Collection[date] = (),
    regression: RegressionFigures | None = None,
) -> Baseline:
    """The baseline of `window` by `rule`, from `metered` (mean kW per step, NaN if missing).

    A RegressionRule needs the fitted `regression`.

    Days, hours, `dr_event_days` and `holidays` are local to `tz`. A candidate day must have every interval
    that the window and the adjustment need. Raises NotAligned for a window off the steps, TooFewBaselineDays,
    and BaselineImpossible for a window longer than a day or for readings that do not allow the rule.
    """
    starts = metered.starts(window)
    if isinstance(rule, DayAverageRule):
        calendar = Calendar(tz, frozenset(dr_event_days), frozenset(holidays))
        return _day_average(rule, metered, window, starts, calendar)
    if isinstance(rule, RegressionRule):
        if regression is None:
            raise BaselineImpossible("a baseline by regression needs a fitted one")
        fitted_kw = regression_baseline(regression, starts, tz, holidays, regression.temperatures_c)
        return _baseline(metered, window, starts, fitted_kw, UNADJUSTED)
    level_kw = _mean_before(rule, metered, window) if isinstance(rule, MeterBeforeRule) else rule.level_kw
    flat = np.full(len(starts), level_kw)
    return _baseline(metered, window, starts, flat, UNADJUSTED)


def _day_average(
    rule: DayAverageRule,
    metered: IntervalSeries,
    window: TimeWindow,
    starts: Sequence[datetime],
    calendar: Calendar,
) -> Baseline:
    _within_a_day(window, calendar.tz)
    before: TimeWindow | None = None
    before_starts: Sequence[datetime] = ()
    if rule.adjustment.kind != "none":
        before = adjustment_window(rule.adjustment, window.starts_at)
        before_starts = metered.starts(before)
    chosen = choose_days(rule, metered, starts, before_starts, calendar)
    baseline_kw = np.mean([day.window_kw for day in chosen.used], axis=0)
    adjustment = UNADJUSTED
    if before is not None:
        before_kw = np.mean([day.adjustment_kw for day in chosen.used], axis=0)
        compared = adjustment_of(rule.adjustment, before_starts, before_kw, metered.slice(before))
        adjustment = replace(compared, starts_at=before.starts_at, ends_at=before.ends_at)
    baseline = _baseline(metered, window, starts, baseline_kw, adjustment)
    days = tuple(day.day for day in chosen.used)
    return replace(baseline, days=days, candidates=chosen.candidates, skipped=chosen.skipped)


def _within_a_day(window: TimeWindow, tz: ZoneInfo) -> None:
    """With a longer window, the day before would contain part of the DR event."""
    next_day = same_local_time(window.starts_at, days=1, tz=tz) or window.starts_at + timedelta(days=1)
    if window.ends_at > next_day:
        raise BaselineImpossible("the window is longer than a day; baselines by days need a shorter one")


def _mean_before(rule: MeterBeforeRule, metered: IntervalSeries, window: TimeWindow) -> float:
    before = TimeWindow(window.starts_at - timedelta(seconds=rule.before_s), window.starts_at)
    metered_kw = metered.slice(before)
    present = metered_kw[~np.isnan(metered_kw)]
    if not present.size:
        raise BaselineImpossible(f"nothing was metered in the {rule.before_s} s before the start")
    return float(np.mean(present))


def _baseline(
    metered: IntervalSeries,
    window: TimeWindow,
    starts: Sequence[datetime],
    baseline_kw: FloatArray,
    adjustment: Adjustment,
) -> Baseline:
    metered_kw = [None if np.isnan(kw) else float(kw) for kw in metered.slice(window)]
    adjusted_kw = adjusted(adjustment, baseline_kw)
    intervals = tuple(
        BaselineInterval(at, float(base), float(level), load, None if load is None else float(level) - load)
        for at, base, level, load in zip(starts, baseline_kw, adjusted_kw, metered_kw, strict=True)
    )
    missing = tuple(i.starts_at for i in intervals if i.metered_kw is None)
    return Baseline(
        days=(), adjustment=adjustment, intervals=intervals, missing=missing, step_s=metered.step_s
    )
