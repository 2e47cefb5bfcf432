"""Selection of the baseline days: earlier days of the same kind, the most recent first."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from math import isnan, nan
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from domain.baseline.result import BaselineDay, BaselineImpossible, SkippedDay, SkipReason, TooFewBaselineDays
from domain.baseline.rules import DayAverageRule
from domain.time_series.windows import (
    FloatArray,
    IntervalSeries,
    NotAligned,
    is_weekend,
    local_date,
    same_local_time,
)


class Calendar(msgspec.Struct, frozen=True):
    """The facility's time zone, and the local days that are not candidates."""

    tz: ZoneInfo
    dr_event_days: Collection[date] = frozenset()
    holidays: Collection[date] = frozenset()

    def is_working_day(self, day: date) -> bool:
        """True if the day is neither a weekend day nor a holiday, as in CAISO's tariff."""
        return not is_weekend(day) and day not in self.holidays


class CandidateDay(msgspec.Struct, frozen=True, eq=False):
    """A complete candidate: its load (kW) at the local times of the window and of the adjustment window."""

    day: date
    window_kw: FloatArray
    adjustment_kw: FloatArray

    @property
    def mean_kw(self) -> float:
        return float(np.mean(self.window_kw))


class ChosenDays(msgspec.Struct, frozen=True, eq=False):
    """The days that count, the most recent first, and the reasons against the others."""

    used: tuple[CandidateDay, ...]
    candidates: tuple[BaselineDay, ...]
    skipped: tuple[SkippedDay, ...]


def choose_days(
    rule: DayAverageRule,
    metered: IntervalSeries,
    window: Sequence[datetime],
    adjustment: Sequence[datetime],
    calendar: Calendar,
) -> ChosenDays:
    """Choose days by `rule`. `window` and `adjustment` are the starts of the intervals that a day must have.

    Raises TooFewBaselineDays, or BaselineImpossible if the rule does not cover that kind of day.
    """
    day = local_date(window[0], calendar.tz)
    wanted = rule.weekdays if calendar.is_working_day(day) else rule.weekend_days
    if wanted is None:
        raise BaselineImpossible(f"{day} is a weekend day or holiday, and this rule has weekdays only")
    chosen: list[CandidateDay] = []
    skipped: list[SkippedDay] = []
    for candidate in _candidates(rule, metered, window, adjustment, calendar):
        if isinstance(candidate, SkippedDay):
            skipped.append(candidate)
            continue
        chosen.append(candidate)
        if len(chosen) == wanted:
            low = _low_days(chosen, rule.low_day_share)
            skipped += [SkippedDay(d.day, "low_load") for d in low]
            chosen = [d for d in chosen if d not in low]
        if len(chosen) == wanted:
            return _ranked(rule, chosen, tuple(skipped))
    raise TooFewBaselineDays(len(chosen), wanted, rule.lookback_days, tuple(skipped))


def _candidates(
    rule: DayAverageRule,
    metered: IntervalSeries,
    window: Sequence[datetime],
    adjustment: Sequence[datetime],
    calendar: Calendar,
) -> Iterator[CandidateDay | SkippedDay]:
    today = local_date(window[0], calendar.tz)
    working = calendar.is_working_day(today)
    for back in range(1, rule.lookback_days + 1):
        day = today - timedelta(days=back)
        if is_weekend(day) is working:
            continue
        if (reason := _excluded(day, calendar)) is not None:
            yield SkippedDay(day, reason)
            continue
        values = _values(metered, [*window, *adjustment], -back, calendar.tz)
        if isinstance(values, str):
            yield SkippedDay(day, values)
        else:
            yield CandidateDay(day, values[: len(window)], values[len(window) :])


def _excluded(day: date, calendar: Calendar) -> SkipReason | None:
    if day in calendar.dr_event_days:
        return "dr_event_day"
    return "holiday" if day in calendar.holidays else None


def _values(
    metered: IntervalSeries, starts: Sequence[datetime], days: int, tz: ZoneInfo
) -> FloatArray | SkipReason:
    """The load at the same local times `days` days away, or the reason why there is none."""
    values = []
    for starts_at in starts:
        if (moved := same_local_time(starts_at, days=days, tz=tz)) is None:
            return "time_does_not_exist"
        values.append(_value(metered, moved))
    return "missing_interval" if any(map(isnan, values)) else np.array(values)


def _value(metered: IntervalSeries, starts_at: datetime) -> float:
    try:
        return metered.at(starts_at)
    except NotAligned:
        # After a half-hour clock change, the same local time lies between two hourly steps: not metered.
        return nan


def _low_days(chosen: list[CandidateDay], share: float | None) -> list[CandidateDay]:
    if share is None:
        return []
    average_kw = float(np.mean([day.mean_kw for day in chosen]))
    return [day for day in chosen if day.mean_kw < share * average_kw]


def _ranked(rule: DayAverageRule, chosen: list[CandidateDay], skipped: tuple[SkippedDay, ...]) -> ChosenDays:
    """Drop the lowest and the highest days. Of days with equal load, the more recent one ranks higher."""
    ranked = sorted(chosen, key=lambda d: (d.mean_kw, d.day))
    lowest = {d.day for d in ranked[: rule.drop_lowest]}
    highest = {d.day for d in ranked[len(ranked) - rule.drop_highest :]}
    used = tuple(d for d in chosen if d.day not in lowest | highest)
    candidates = tuple(
        BaselineDay(
            d.day,
            d.mean_kw,
            "dropped_lowest" if d.day in lowest else "dropped_highest" if d.day in highest else "used",
            tuple(d.window_kw.tolist()),
            tuple(d.adjustment_kw.tolist()),
        )
        for d in chosen
    )
    return ChosenDays(used, candidates, skipped)
