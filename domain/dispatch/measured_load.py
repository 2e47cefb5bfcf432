"""The load of a measurement by quarter-hours, and where its baseline comes from: what a settlement is computed from."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An interval of a measurement, mean kW; None where the meter or the baseline is missing."""

    starts_at: datetime
    baseline_kw: float | None
    adjusted_kw: float | None
    metered_kw: float | None
    delivered_kw: float | None


class AdjustmentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The same-day adjustment, as `domain.baseline.Adjustment`, with the metered load of its window."""

    kind: str
    value: float | None = None
    raw: float | None = None
    clipped: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    baseline_kw: float | None = None
    metered_kw: float | None = None
    values_kw: tuple[float | None, ...] = ()
    """The metered load of its quarter-hours; None where missing."""
    missing: tuple[datetime, ...] = ()
    note: str = ""


class MeasuredLoad(msgspec.Struct, frozen=True, kw_only=True):
    """The adjusted baseline and the metered load, mean kW of consecutive quarter-hours, shape (quarter-hours,); None
    where the meter or the baseline is missing."""

    starts_at: datetime
    adjusted_kw: tuple[float | None, ...]
    metered_kw: tuple[float | None, ...]
    method: str
    days: tuple[date, ...] = ()
    """Those that the baseline counts, the most recent first."""
    days_considered: int = 0
    adjustment: AdjustmentFigures
    tz: str
    """IANA."""
    dr_event_days: tuple[date, ...] = ()
    holidays: tuple[date, ...] = ()
    """Those that the baseline regarded."""
    domain_event_id: UUID
    """Of the measurement."""
