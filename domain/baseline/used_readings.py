"""The readings that a baseline was computed from: those of the window, and those that the rule looked at."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

import numpy as np

from domain.baseline.adjustment import adjustment_window
from domain.baseline.result import Baseline
from domain.baseline.rules import BaselineRule, DayAverageRule, MeterBeforeRule, RegressionRule
from domain.time_series.digest import canonical
from domain.time_series.windows import (
    IntervalSeries,
    NotAligned,
    TimeWindow,
    local_date,
    local_day,
    same_local_time,
)

LOOKED_AT = frozenset({"missing_interval", "low_load"})
"""The reasons for which a day is skipped because of its readings."""


def used_readings(
    rule: BaselineRule, metered: IntervalSeries, baseline: Baseline, tz: ZoneInfo
) -> IntervalSeries:
    """`metered` from the first to the last step that was used; every step that was not used is missing.

    The rule applied to it gives the same baseline.
    """
    first_at, step = metered.starts_at, timedelta(seconds=metered.step_s)
    used = {(start - first_at) // step for start in _starts(rule, metered, baseline, tz)}
    first, last = min(used), max(used)
    values = np.full(last - first + 1, np.nan)
    for index in used:
        if 0 <= index < len(metered.values):
            values[index - first] = metered.values[index]
    return IntervalSeries(first_at + step * first, metered.step_s, values)


def readings_digest(used: IntervalSeries) -> str:
    """SHA-256 (hex) of the readings that `used_readings` returned."""
    return sha256(canonical(used)).hexdigest()


def _starts(
    rule: BaselineRule, metered: IntervalSeries, baseline: Baseline, tz: ZoneInfo
) -> Iterator[datetime]:
    window = baseline.window
    starts = metered.starts(window)
    yield from starts
    if isinstance(rule, MeterBeforeRule):
        yield from metered.starts(
            TimeWindow(window.starts_at - timedelta(seconds=rule.before_s), window.starts_at)
        )
    if isinstance(rule, DayAverageRule):
        before = _before(rule, metered, window)
        yield from before
        yield from _of_days([*starts, *before], metered, baseline, tz)
    if isinstance(rule, RegressionRule):
        yield from _of_training(rule, metered, baseline, tz)


def _before(rule: DayAverageRule, metered: IntervalSeries, window: TimeWindow) -> Sequence[datetime]:
    if rule.adjustment.kind == "none":
        return ()
    return metered.starts(adjustment_window(rule.adjustment, window.starts_at))


def _of_days(
    starts: Iterable[datetime], metered: IntervalSeries, baseline: Baseline, tz: ZoneInfo
) -> Iterator[datetime]:
    today = local_date(baseline.window.starts_at, tz)
    days = {candidate.day for candidate in baseline.candidates}
    days |= {skipped.day for skipped in baseline.skipped if skipped.why in LOOKED_AT}
    for start in starts:
        for day in days:
            moved = same_local_time(start, days=(day - today).days, tz=tz)
            if moved is not None and _is_step(metered, moved):
                yield moved


def _of_training(
    rule: RegressionRule, metered: IntervalSeries, baseline: Baseline, tz: ZoneInfo
) -> Iterator[datetime]:
    """The days that a regression is fitted to, those without readings included."""
    today = local_date(baseline.window.starts_at, tz)
    left_out = {skipped.day for skipped in baseline.skipped if skipped.why == "dr_event_day"}
    step = timedelta(seconds=metered.step_s)
    for back in range(rule.lookback_days, 0, -1):
        day = today - timedelta(days=back)
        if day in left_out:
            continue
        whole = local_day(day, tz)
        start = whole.starts_at - (whole.starts_at - metered.starts_at) % -step
        while start < whole.ends_at:
            yield start
            start += step


def _is_step(metered: IntervalSeries, starts_at: datetime) -> bool:
    try:
        metered.at(starts_at)
    except NotAligned:
        return False
    return True
