"""The expected error of a baseline: what the same rule would have given on the facility's days without a DR event."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from math import fsum, sqrt
from zoneinfo import ZoneInfo

import msgspec

from domain.baseline.computation import compute_baseline
from domain.baseline.days import Calendar
from domain.baseline.result import Baseline, BaselineImpossible, TooFewBaselineDays
from domain.baseline.rules import BaselineRule, FirmServiceRule, RegressionRule
from domain.time_series.windows import IntervalSeries, NotAligned, TimeWindow, local_date, same_local_time

MOST_DAYS = 10
LOOK_BACK_DAYS = 45


class ExpectedError(msgspec.Struct, frozen=True, kw_only=True):
    """The error e = adjusted - metered of the baseline in the same hours of `days` days without a DR event."""

    bias: float
    """sum e / sum metered: above 0, the baseline is too high, and so is what was delivered by it."""
    cvrmse: float
    """sqrt(mean e^2) / mean metered."""
    days: int


def expected_error(
    rule: BaselineRule,
    metered: IntervalSeries,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    dr_event_days: Collection[date] = (),
    holidays: Collection[date] = (),
) -> ExpectedError | None:
    """The error on the most recent days of the same kind before `window`, at most MOST_DAYS of them.

    None where no day can be computed from `metered`; for a contracted level, which estimates nothing; and for a
    regression, which states its uncertainty.
    """
    if isinstance(rule, FirmServiceRule | RegressionRule):
        return None
    calendar = Calendar(tz, frozenset(dr_event_days), frozenset(holidays))
    errors: list[float] = []
    loads: list[float] = []
    days = 0
    for found in _baselines(rule, metered, window, calendar):
        known = [i for i in found.intervals if i.metered_kw is not None]
        if not known:
            continue
        loads += [i.metered_kw or 0.0 for i in known]
        errors += [i.delivered_kw or 0.0 for i in known]
        days += 1
        if days == MOST_DAYS:
            break
    return measured_error(errors, loads, days=days)


def measured_error(errors: Sequence[float], loads: Sequence[float], *, days: int) -> ExpectedError | None:
    """From the errors (adjusted minus metered) and the metered loads of all intervals, kW.

    None without an interval, and for loads that do not add up to more than zero.
    """
    if not loads or (load_kw := fsum(loads)) <= 0:
        return None
    deviation_kw = sqrt(fsum(e * e for e in errors) / len(errors))
    return ExpectedError(bias=fsum(errors) / load_kw, cvrmse=deviation_kw / (load_kw / len(loads)), days=days)


def _baselines(
    rule: BaselineRule, metered: IntervalSeries, window: TimeWindow, calendar: Calendar
) -> Iterator[Baseline]:
    """The baselines of the earlier days of the same kind, the most recent first, until the readings begin."""
    duration = window.ends_at - window.starts_at
    is_working = calendar.is_working_day(local_date(window.starts_at, calendar.tz))
    for back in range(1, LOOK_BACK_DAYS + 1):
        starts_at = same_local_time(window.starts_at, days=-back, tz=calendar.tz)
        if starts_at is None:
            continue
        day = local_date(starts_at, calendar.tz)
        if day in calendar.dr_event_days or day in calendar.holidays:
            continue
        if calendar.is_working_day(day) is not is_working:
            continue
        try:
            yield compute_baseline(
                rule,
                metered,
                TimeWindow(starts_at, starts_at + duration),
                tz=calendar.tz,
                dr_event_days=calendar.dr_event_days,
                holidays=calendar.holidays,
            )
        except TooFewBaselineDays:
            return  # still fewer before an earlier day
        except (BaselineImpossible, NotAligned):
            continue
