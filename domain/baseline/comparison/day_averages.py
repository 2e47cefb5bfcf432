"""Baselines by days for many days at once: the same numbers as `compute_baseline` gives for each of them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.baseline.adjustment import adjustment_window
from domain.baseline.comparison.days import ComparedDay, LocalLoads, LocalWindow
from domain.baseline.computation import compute_baseline
from domain.baseline.days import Calendar
from domain.baseline.result import BaselineImpossible
from domain.baseline.rules import AdjustmentRule, DayAverageRule
from domain.time_series.windows import FloatArray, IntervalSeries, is_weekend

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class DayLoads(msgspec.Struct, frozen=True, eq=False):
    """The load of all local days (mean kW): shape (days, steps) each."""

    window_kw: FloatArray
    before_kw: FloatArray
    """In the adjustment window; no steps for a rule without one."""
    is_candidate: BoolArray
    """Shape (days,): a complete working day without a DR event."""


def day_average_baselines(
    rule: DayAverageRule,
    loads: LocalLoads,
    days: Sequence[ComparedDay],
    window: LocalWindow,
    calendar: Calendar,
) -> list[FloatArray | None]:
    """The adjusted baseline (kW by step) of each of `days`; None where the rule refuses. Raises NotAligned.

    A day with a clock change between its adjustment window and the end of its window is computed by itself: its steps
    have other local times than those of the other days.
    """
    metered = loads.metered
    regular = [not _has_clock_change(rule, day, metered, calendar) for day in days]
    table = _day_loads(rule, loads, window, calendar)
    today = np.array([(day.day - loads.days[0]).days for day in days], dtype=np.int64)
    chosen = _chosen_days(rule, table, today)
    is_refused = chosen[:, 0] < 0
    adjusted_kw = _adjusted(rule.adjustment, table, _ranked(rule, table, chosen), today)
    return [
        (None if is_refused[n] else adjusted_kw[n])
        if regular[n]
        else _by_itself(rule, metered, day, calendar)
        for n, day in enumerate(days)
    ]


def _has_clock_change(
    rule: DayAverageRule, day: ComparedDay, metered: IntervalSeries, calendar: Calendar
) -> bool:
    first, last = day.window.starts_at, metered.starts(day.window)[-1]
    if rule.adjustment.kind != "none":
        first = metered.starts(adjustment_window(rule.adjustment, first))[0]
    ends: tuple[datetime, datetime] = first.astimezone(calendar.tz), last.astimezone(calendar.tz)
    return ends[0].utcoffset() != ends[1].utcoffset() or any(end.fold for end in ends)


def _by_itself(
    rule: DayAverageRule, metered: IntervalSeries, day: ComparedDay, calendar: Calendar
) -> FloatArray | None:
    try:
        computed = compute_baseline(
            rule,
            metered,
            day.window,
            tz=calendar.tz,
            dr_event_days=calendar.dr_event_days,
            holidays=calendar.holidays,
        )
    except BaselineImpossible:
        return None
    return np.array([interval.adjusted_kw for interval in computed.intervals])


def _day_loads(
    rule: DayAverageRule,
    loads: LocalLoads,
    window: LocalWindow,
    calendar: Calendar,
) -> DayLoads:
    step_s, compared = loads.metered.step_s, rule.adjustment
    window_kw = loads.at(window.times(step_s))
    before_kw = np.zeros((len(window_kw), 0))
    if compared.kind != "none":
        before_kw = loads.at(
            window.times(step_s, from_s=-compared.starts_before_s, until_s=-compared.ends_before_s)
        )
    is_complete = ~(np.isnan(window_kw).any(axis=1) | np.isnan(before_kw).any(axis=1))
    is_allowed = [
        not is_weekend(day) and day not in calendar.holidays and day not in calendar.dr_event_days
        for day in loads.days
    ]
    return DayLoads(window_kw, before_kw, is_complete & np.array(is_allowed))


def _chosen_days(rule: DayAverageRule, table: DayLoads, today: IntArray) -> IntArray:
    """For each of the days `today` the indices of its days, the most recent first: shape (days, rule.weekdays).

    A row of -1 where there are too few.
    """
    wanted = rule.weekdays
    candidates = np.flatnonzero(table.is_candidate)
    before = np.searchsorted(candidates, today)
    positions = before[:, None] - 1 - np.arange(wanted)
    chosen = np.full(positions.shape, -1, dtype=np.int64)
    if candidates.size:
        chosen = np.where(positions >= 0, candidates[np.maximum(positions, 0)], -1)
    chosen[chosen[:, -1] < np.maximum(today - rule.lookback_days, 0)] = -1
    if rule.low_day_share is None:
        return chosen
    means_kw = table.window_kw.mean(axis=1)
    low = means_kw[chosen] < rule.low_day_share * means_kw[chosen].mean(axis=1)[:, None]
    for row in np.flatnonzero(low.any(axis=1) & (chosen[:, 0] >= 0)):
        first = np.searchsorted(candidates, today[row] - rule.lookback_days)
        chosen[row] = _without_low_days(rule, means_kw, candidates[first : before[row]][::-1])
    return chosen


def _without_low_days(rule: DayAverageRule, means_kw: FloatArray, candidates: IntArray) -> IntArray:
    """The first `rule.weekdays` of `candidates` after low days are replaced, one after the other as they come up."""
    share = rule.low_day_share or 0.0
    chosen: list[int] = []
    for candidate in candidates.tolist():
        chosen.append(candidate)
        if len(chosen) == rule.weekdays:
            least_kw = share * float(means_kw[chosen].mean())
            chosen = [day for day in chosen if means_kw[day] >= least_kw]
        if len(chosen) == rule.weekdays:
            return np.array(chosen, dtype=np.int64)
    return np.full(rule.weekdays, -1, dtype=np.int64)


def _ranked(rule: DayAverageRule, table: DayLoads, chosen: IntArray) -> IntArray:
    """The days that count, the most recent first. Of days with equal load, the more recent one ranks higher."""
    oldest_first = chosen[:, ::-1]
    order = np.argsort(table.window_kw.mean(axis=1)[oldest_first], axis=1, kind="stable")
    ranked = np.take_along_axis(oldest_first, order, axis=1)
    return np.sort(ranked[:, rule.drop_lowest : rule.weekdays - rule.drop_highest], axis=1)[:, ::-1]


def _adjusted(rule: AdjustmentRule, table: DayLoads, used: IntArray, today: IntArray) -> FloatArray:
    """The mean of the days `used`, adjusted by the load of the day itself in its adjustment window alone."""
    baseline_kw: FloatArray = table.window_kw[used].mean(axis=1)
    if rule.kind == "none":
        return baseline_kw
    metered_kw = table.before_kw[today]
    is_known = ~np.isnan(metered_kw)
    count = np.maximum(is_known.sum(axis=1), 1)
    base_kw = np.where(is_known, table.before_kw[used].mean(axis=1), 0.0).sum(axis=1) / count
    load_kw = np.where(is_known, metered_kw, 0.0).sum(axis=1) / count
    is_compared = is_known.any(axis=1)
    if rule.kind == "additive":
        difference_kw = np.where(is_compared, _bounded(rule, load_kw - base_kw, 0.0, np.abs(base_kw)), 0.0)
        return np.asarray(baseline_kw + difference_kw[:, None], dtype=np.float64)
    is_compared &= base_kw > 0
    factor = np.divide(load_kw, base_kw, out=np.ones_like(load_kw), where=is_compared)
    factor = np.where(is_compared, _bounded(rule, factor, 1.0, np.ones_like(factor)), 1.0)
    return np.asarray(baseline_kw * factor[:, None], dtype=np.float64)


def _bounded(rule: AdjustmentRule, value: FloatArray, neutral: float, scale: FloatArray) -> FloatArray:
    bounded = value
    if rule.cap is not None:
        bounded = np.clip(bounded, neutral - rule.cap * scale, neutral + rule.cap * scale)
    return np.asarray(np.maximum(bounded, neutral) if rule.upward_only else bounded, dtype=np.float64)
