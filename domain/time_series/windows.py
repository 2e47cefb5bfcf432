"""Half-open UTC windows, regular interval series with explicit gaps, and local calendar days."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class InvalidWindow(ValueError):
    """An unusable window or moment: without a UTC offset, or with an end that is not after its start."""


class NotAligned(ValueError):
    """A window does not start or end on a boundary of the series' steps."""


def as_utc(moment: datetime, *, name: str = "time") -> datetime:
    """`moment` in UTC. Raises InvalidWindow for a time without UTC offset, because its zone would be a guess."""
    if moment.utcoffset() is None:
        raise InvalidWindow(f"{name} {moment.isoformat()} has no UTC offset; give one, such as Z or +01:00")
    return moment.astimezone(UTC)


class TimeWindow(msgspec.Struct, frozen=True):
    """`starts_at` <= t < `ends_at`, both stored in UTC. Raises InvalidWindow if naive or empty."""

    starts_at: datetime
    ends_at: datetime

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "starts_at", as_utc(self.starts_at, name="starts_at"))
        msgspec.structs.force_setattr(self, "ends_at", as_utc(self.ends_at, name="ends_at"))
        if self.ends_at <= self.starts_at:
            raise InvalidWindow(
                f"ends_at {self.ends_at.isoformat()} is not after {self.starts_at.isoformat()}"
            )

    @property
    def duration_s(self) -> float:
        return (self.ends_at - self.starts_at).total_seconds()

    def overlaps(self, other: "TimeWindow") -> bool:
        """True if they share a moment; windows that only touch do not."""
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at

    def contains(self, moment: datetime) -> bool:
        return self.starts_at <= moment < self.ends_at

    def covers(self, other: "TimeWindow") -> bool:
        """True if all of `other` lies inside."""
        return self.starts_at <= other.starts_at and other.ends_at <= self.ends_at

    def shifted(self, by: timedelta) -> "TimeWindow":
        return TimeWindow(self.starts_at + by, self.ends_at + by)


class IntervalSeries(msgspec.Struct, frozen=True, eq=False):
    """Values of consecutive intervals of `step_s` seconds from `starts_at` on (one unit, chosen by the
    caller).

    `values` has shape (n,), float64 and read-only; NaN is a missing interval. Every interval outside the
    series is missing too, never zero.
    """

    starts_at: datetime
    step_s: int
    values: FloatArray

    def __post_init__(self) -> None:
        if self.step_s <= 0:
            raise ValueError(f"step_s must be above 0, got {self.step_s}")
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(f"values must have one dimension, got shape {values.shape}")
        values[~np.isfinite(values)] = np.nan
        values.flags.writeable = False
        msgspec.structs.force_setattr(self, "values", values)
        msgspec.structs.force_setattr(self, "starts_at", as_utc(self.starts_at, name="starts_at"))

    @classmethod
    def of(cls, starts_at: datetime, step_s: int, values: Sequence[float | None]) -> Self:
        """A series from plain numbers, None if missing."""
        return cls(
            starts_at, step_s, np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        )

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(seconds=self.step_s * len(self.values))

    @property
    def first_value_at(self) -> datetime | None:
        """The start of the first step with a value."""
        known = np.flatnonzero(np.isfinite(self.values))
        return self.starts_at + timedelta(seconds=self.step_s * int(known[0])) if known.size else None

    def starts(self, window: TimeWindow) -> list[datetime]:
        """The starts of the steps in `window`. Raises NotAligned."""
        first, count = self._index(window.starts_at), round(window.duration_s / self.step_s)
        if self._index(window.ends_at) != first + count:
            raise NotAligned(f"window ends off the {self.step_s} s steps")
        step = timedelta(seconds=self.step_s)
        return [window.starts_at + step * i for i in range(count)]

    def slice(self, window: TimeWindow) -> FloatArray:
        """The values of the steps in `window`, NaN outside the series. Raises NotAligned."""
        first, last = self._index(window.starts_at), self._index(window.ends_at)
        values = np.full(last - first, np.nan)
        low, high = max(first, 0), min(last, len(self.values))
        if low < high:
            values[low - first : high - first] = self.values[low:high]
        return values

    def at(self, starts_at: datetime) -> float:
        """The value of the step that starts at `starts_at`, NaN if missing. Raises NotAligned."""
        index = self._index(starts_at)
        return float(self.values[index]) if 0 <= index < len(self.values) else float("nan")

    def scaled(self, factor: float) -> "IntervalSeries":
        return IntervalSeries(self.starts_at, self.step_s, self.values * factor)

    def kw_from_kwh(self) -> "IntervalSeries":
        """Mean kW of each step, for a series of kWh per step."""
        return self.scaled(3600.0 / self.step_s)

    def _index(self, moment: datetime) -> int:
        index, rest = divmod(as_utc(moment) - self.starts_at, timedelta(seconds=self.step_s))
        if rest:
            raise NotAligned(
                f"{moment.isoformat()} is not on a boundary of the {self.step_s} s steps, which begin at "
                f"{self.starts_at.isoformat()}; move it to one, or use finer readings"
            )
        return index


def local_date(moment: datetime, tz: ZoneInfo) -> date:
    """The calendar day in `tz` that contains `moment`."""
    return as_utc(moment).astimezone(tz).date()


def local_day(day: date, tz: ZoneInfo) -> TimeWindow:
    """The whole local day as a UTC window: 23, 24 or 25 hours long."""
    return TimeWindow(
        datetime.combine(day, time(), tz), datetime.combine(day + timedelta(days=1), time(), tz)
    )


def same_local_time(moment: datetime, *, days: int, tz: ZoneInfo) -> datetime | None:
    """The UTC moment with the local time of `moment`, `days` local days away; None if a clock change skips
    it.

    If a clock change repeats that time, it is the first occurrence, unless `moment` itself is a second one.
    """
    wall = as_utc(moment).astimezone(tz)
    moved = datetime.combine(wall.date() + timedelta(days=days), wall.timetz())
    result = moved.astimezone(UTC)
    if result.astimezone(tz).replace(tzinfo=None) != moved.replace(tzinfo=None):
        return None
    return result


def is_weekend(day: date) -> bool:
    """Saturday or Sunday."""
    return day.weekday() >= 5
