"""The figures of a measurement: the number itself, and everything that it was computed from."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from domain.baseline import BaselineParameters, SkippedDay
from domain.baseline.expected_error import ExpectedError
from domain.baseline.regression.model import RegressionFigures
from domain.baseline.regression.uncertainty import SavingsUncertainty
from domain.dispatch.measured_load import AdjustmentFigures, Interval


class MeasuredDay(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate day of the baseline and its load, mean kW per quarter-hour."""

    day: str
    """Local, ISO 8601."""
    use: str
    """`used`, `dropped_lowest` or `dropped_highest`."""
    mean_kw: float
    """Over the window's hours, by which days are ranked."""
    window_kw: tuple[float, ...]
    """Shape (quarter-hours of the window,)."""
    adjustment_kw: tuple[float, ...] = ()
    """Shape (quarter-hours of the adjustment window,); empty for a rule without adjustment."""


class MeasurementFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement of one facility: baseline minus metered load over the window, mean kW."""

    baseline_method: str
    parameters: BaselineParameters
    tz: str
    """IANA; days are local to it."""
    starts_at: datetime
    ends_at: datetime
    """The measured window: the whole quarter-hours inside the dispatch's."""
    days: tuple[MeasuredDay, ...] = ()
    """The candidate days, the most recent first; those used and those dropped by their rank."""
    skipped: tuple[SkippedDay, ...] = ()
    adjustment: AdjustmentFigures
    intervals: tuple[Interval, ...]
    coverage_pct: float
    """The share of the dispatch's window that metered quarter-hours cover."""
    delivered_kw: float
    clip_delivery: bool = False
    """Delivery below zero counts as zero, in each quarter-hour."""
    holidays: tuple[date, ...] = ()
    """Those among the look-back and the day itself."""
    holidays_of: str
    """`program`, a region (ISO 3166), or `none` where the time zone belongs to no country."""
    dr_event_days: tuple[date, ...] = ()
    """The local days on which the facility served other DR events, among the look-back."""
    data_hash: str
    """SHA-256 (hex) of the metered quarter-hours that were used."""
    figures_hash: str
    """SHA-256 (hex), equal for measurements with equal figures."""
    regression: RegressionFigures | None = None
    """Of the method `regression`, from which its baseline is recomputed (ADR 0076)."""
    uncertainty: SavingsUncertainty | None = None
    """Of `delivered_kw` by the method `regression`."""
    expected_error: ExpectedError | None = None
    """Of the other methods, on the facility's days without a DR event; None where no day could be computed."""

    @property
    def days_used(self) -> tuple[str, ...]:
        return tuple(day.day for day in self.days if day.use == "used")
