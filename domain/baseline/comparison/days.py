"""The days on which methods are compared, and the load of all days at given local times."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from domain.baseline.days import Calendar
from domain.time_series.windows import (
    FloatArray,
    IntervalSeries,
    InvalidWindow,
    NotAligned,
    TimeWindow,
    local_date,
)

HISTORY_DAYS = 45
"""Of readings before a compared day: the look-back of the methods by days."""
LocalTime = tuple[int, time]
"""Days after the compared day, and the time on the clock."""
_EPOCH = date(1970, 1, 1)


class LocalWindow(msgspec.Struct, frozen=True):
    """From `starts_at` to `ends_at` on the local clock; on the next day if that is not later. At most a day."""

    starts_at: time
    ends_at: time

    @classmethod
    def parse(cls, written: str) -> Self:
        """`14:00-18:00`; midnight as the end is `24:00` or `00:00`. Raises InvalidWindow."""
        try:
            first, last = written.split("-")
            start, end = _time(first), time() if last.strip() == "24:00" else _time(last)
        except ValueError:
            raise InvalidWindow(f"{written!r} is no window of a day, such as 14:00-18:00") from None
        if start == end:
            raise InvalidWindow(f"the window {written!r} is empty; its end must differ from its start")
        return cls(start, end)

    def on(self, day: date, tz: ZoneInfo) -> TimeWindow | None:
        """The window that begins on the local `day`; None if a clock change skips its start or its end."""
        next_day = day if self.ends_at > self.starts_at else day + timedelta(days=1)
        start = datetime.combine(day, self.starts_at, tz).astimezone(UTC)
        end = datetime.combine(next_day, self.ends_at, tz).astimezone(UTC)
        both = ((start, self.starts_at), (end, self.ends_at))
        if any(moment.astimezone(tz).time() != wanted for moment, wanted in both):
            return None
        return TimeWindow(start, end)

    def times(self, step_s: int, *, from_s: int = 0, until_s: int | None = None) -> tuple[LocalTime, ...]:
        """The local times of the steps `from_s` to `until_s` (default: the end) after the start of the window."""
        start = datetime.combine(_EPOCH, self.starts_at)
        end = datetime.combine(_EPOCH + timedelta(days=self.ends_at <= self.starts_at), self.ends_at)
        last_s = int((end - start).total_seconds()) if until_s is None else until_s
        walls = [start + timedelta(seconds=s) for s in range(from_s, last_s, step_s)]
        return tuple(((wall.date() - _EPOCH).days, wall.time()) for wall in walls)

    def __str__(self) -> str:
        end = "24:00" if self.ends_at == time() else f"{self.ends_at:%H:%M}"
        return f"{self.starts_at:%H:%M}-{end}"


class ComparedDay(msgspec.Struct, frozen=True, eq=False):
    """A working day without a DR event: its window, and what was metered in it (mean kW by step, NaN if missing)."""

    day: date
    window: TimeWindow
    metered_kw: FloatArray


def compared_days(
    metered: IntervalSeries, window: LocalWindow, calendar: Calendar
) -> tuple[ComparedDay, ...]:
    """The weekdays that are no DR event day or holiday, have HISTORY_DAYS of readings before them, and a metered
    step in the window.

    Raises NotAligned if the window is off the steps on every day.
    """
    days, refusal = [], None
    for day in _working_days(metered, calendar):
        if (on_day := window.on(day, calendar.tz)) is None:
            continue
        try:
            metered_kw = metered.slice(on_day)
        except NotAligned as error:
            refusal = error
            continue
        if not np.isnan(metered_kw).all():
            days.append(ComparedDay(day, on_day, metered_kw))
    if refusal is not None and not days:
        raise refusal
    return tuple(days)


def _working_days(metered: IntervalSeries, calendar: Calendar) -> Iterator[date]:
    day = local_date(metered.starts_at, calendar.tz) + timedelta(days=HISTORY_DAYS)
    last = local_date(metered.ends_at - timedelta(seconds=metered.step_s), calendar.tz)
    while day <= last:
        if calendar.is_working_day(day) and day not in calendar.dr_event_days:
            yield day
        day += timedelta(days=1)


def mean_temperatures(days: Sequence[ComparedDay], temperatures: IntervalSeries) -> FloatArray:
    """The mean of the temperatures of each day's window (degrees Celsius), shape (days,); NaN where none is known."""
    means = np.full(len(days), np.nan)
    for index, day in enumerate(days):
        values = temperatures.slice(day.window)
        if not np.isnan(values).all():
            means[index] = np.nanmean(values)
    return means


class LocalLoads:
    """The load of every local day of `metered`, and of those around it, by the time on the clock.

    As for a candidate day of a baseline: of a time that a clock change repeats the first one, NaN for a time that it
    skips and for one between two steps.
    """

    def __init__(self, metered: IntervalSeries, tz: ZoneInfo) -> None:
        self.metered, self._tz = metered, tz
        first = local_date(metered.starts_at, tz)
        count = (local_date(metered.ends_at, tz) - first).days + 1
        self.days = tuple(first + timedelta(days=n) for n in range(count))
        self._columns: dict[LocalTime, FloatArray] = {}

    def at(self, times: Sequence[LocalTime]) -> FloatArray:
        """Mean kW, shape (days, times)."""
        if not times:
            return np.zeros((len(self.days), 0))
        return np.column_stack([self._column(one) for one in times])

    def _column(self, at: LocalTime) -> FloatArray:
        if at not in self._columns:
            self._columns[at] = np.array([self._value(day, at) for day in self.days])
        return self._columns[at]

    def _value(self, day: date, at: LocalTime) -> float:
        days_after, wall = at
        local = datetime.combine(day + timedelta(days=days_after), wall, self._tz)
        moment = local.astimezone(UTC)
        if moment.astimezone(self._tz).replace(tzinfo=None) != local.replace(tzinfo=None):
            return np.nan
        try:
            return self.metered.at(moment)
        except NotAligned:
            return np.nan


def _time(written: str) -> time:
    hour, minute = written.split(":")
    return time(int(hour), int(minute))
