"""The result of a baseline computation, with all that is needed to explain a settlement."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from math import fsum
from typing import Literal

import msgspec
from msgspec.structs import replace

from domain.baseline.rules import AdjustmentKind
from domain.time_series.windows import TimeWindow

SkipReason = Literal[
    "dr_event_day", "holiday", "missing_interval", "time_does_not_exist", "low_load", "no_temperature"
]
DayUse = Literal["used", "dropped_lowest", "dropped_highest"]


class SkippedDay(msgspec.Struct, frozen=True):
    """A day of the same kind that was skipped, with the reason. Days of the other kind (weekday, weekend) are
    not listed.
    """

    day: date
    why: SkipReason


class BaselineDay(msgspec.Struct, frozen=True):
    """A candidate day: its mean load (kW) over the DR event's hours, and whether it counts.

    The load itself, mean kW per step: `window_kw` at the local times of the DR event, `adjustment_kw` at those of the
    adjustment window.
    """

    day: date
    mean_kw: float
    use: DayUse = "used"
    window_kw: tuple[float, ...] = ()
    adjustment_kw: tuple[float, ...] = ()


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """The same-day adjustment: a factor (multiplicative) or kW (additive) in `value`, None for kind `none`.

    `raw` is the value before clipping, or None if none could be computed; `note` then gives the reason.
    `baseline_kw` and `metered_kw` are the two means that it compares, over the intervals that were metered.
    """

    kind: AdjustmentKind
    value: float | None = None
    clipped: bool = False
    raw: float | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    baseline_kw: float | None = None
    metered_kw: float | None = None
    values_kw: tuple[float | None, ...] = ()
    """The metered load of its steps; None where missing."""
    missing: tuple[datetime, ...] = ()
    note: str = ""


class BaselineInterval(msgspec.Struct, frozen=True):
    """A step of the window, mean kW. `delivered_kw` is adjusted minus metered, not clipped; None if not metered."""

    starts_at: datetime
    baseline_kw: float
    adjusted_kw: float
    metered_kw: float | None
    delivered_kw: float | None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline over a window; `missing` holds the starts of its intervals that were not metered."""

    days: tuple[date, ...]
    """The days that count, the most recent first."""
    adjustment: Adjustment
    intervals: tuple[BaselineInterval, ...]
    missing: tuple[datetime, ...]
    step_s: int
    candidates: tuple[BaselineDay, ...] = ()
    skipped: tuple[SkippedDay, ...] = ()

    @property
    def window(self) -> TimeWindow:
        last = self.intervals[-1].starts_at + timedelta(seconds=self.step_s)
        return TimeWindow(self.intervals[0].starts_at, last)

    @property
    def clipped(self) -> Baseline:
        """The same baseline where delivery below zero counts as zero, in each interval."""
        intervals = tuple(
            i if i.delivered_kw is None else replace(i, delivered_kw=max(0.0, i.delivered_kw))
            for i in self.intervals
        )
        return replace(self, intervals=intervals)

    @property
    def coverage(self) -> float:
        """The share of the window's intervals that were metered, 0..1."""
        return 1 - len(self.missing) / len(self.intervals)

    @property
    def delivered_kw(self) -> float | None:
        """Mean delivered kW of the metered intervals; None if there are none."""
        metered = [i.delivered_kw for i in self.intervals if i.delivered_kw is not None]
        return fsum(metered) / len(metered) if metered else None

    @property
    def delivered_kwh(self) -> float:
        """Energy delivered in the metered intervals; the others count as zero."""
        return fsum(i.delivered_kw for i in self.intervals if i.delivered_kw is not None) * self.step_s / 3600


class BaselineImpossible(ValueError):
    """The readings do not allow this baseline; the message says what is missing."""


class TemperatureMissing(BaselineImpossible):
    """No outdoor temperature of an hour of the window is known (yet)."""


class TooFewBaselineDays(BaselineImpossible):
    """Fewer usable days than the rule needs: `found` of `wanted`, with those skipped."""

    def __init__(self, found: int, wanted: int, lookback_days: int, skipped: tuple[SkippedDay, ...]) -> None:
        reasons = ", ".join(f"{n} {why}" for why, n in Counter(s.why for s in skipped).items()) or "none"
        super().__init__(
            f"only {found} of {wanted} baseline days in the {lookback_days} days before (skipped: {reasons}); "
            "give readings of earlier days, or use a rule that needs fewer"
        )
        self.found, self.wanted, self.skipped = found, wanted, skipped
