"""The hour of a facility's local week for hours counted from the epoch; holidays count as Sundays."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.public_holidays import public_holidays

HOUR_S = 3600
HOURS_A_DAY = 24
HOURS_A_WEEK = 168
SATURDAY, SUNDAY = 5, 6

IntArray = NDArray[np.int64]


@lru_cache(maxsize=512)
def hours_of_week(first_hour: int, count: int, tz: str, region: str) -> IntArray:
    """0 (Monday, 00:00 local) .. 167 of each of `count` hours from `first_hour` (hours since 1970, UTC) on.

    Shape (count,), read-only. By the wall clock: a repeated hour occurs twice and a skipped one never. An hour of a
    zone with a half-hour offset counts as the one in which it begins.
    """
    starts_s = (first_hour + np.arange(count, dtype=np.int64)) * HOUR_S
    local_h = (starts_s + _offsets_s(first_hour, count, tz)) // HOUR_S
    days, hour = np.divmod(local_h, HOURS_A_DAY)
    weekday = (days + 3) % 7  # the epoch was a Thursday
    weekday[np.isin(days, _holiday_days(days, region))] = SUNDAY
    result: IntArray = weekday * HOURS_A_DAY + hour
    result.flags.writeable = False
    return result


@lru_cache(maxsize=512)
def clocks_ahead_h(first_hour: int, count: int, tz: str) -> IntArray:
    """The offset of local clocks from UTC at each of `count` hours, in whole hours: shape (count,), read-only."""
    result: IntArray = _offsets_s(first_hour, count, tz) // HOUR_S
    result.flags.writeable = False
    return result


def day_kind_hour(week: IntArray) -> IntArray:
    """0..23 on working days, 24..47 on Saturdays, Sundays and holidays."""
    place: IntArray = week % HOURS_A_DAY + HOURS_A_DAY * (week >= SATURDAY * HOURS_A_DAY)
    return place


def local_midnights(first_hour: int, last_hour: int, tz: str) -> list[int]:
    """The hours (since the epoch) in [first, last) that begin with a local day, rounded up to whole UTC hours."""
    zone = ZoneInfo(tz)
    day = datetime.fromtimestamp(first_hour * HOUR_S, UTC).astimezone(zone).date()
    result: list[int] = []
    while True:
        midnight_s = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
        hour = int(-(-midnight_s // HOUR_S))
        if hour >= last_hour:
            return result
        if hour >= first_hour:
            result.append(hour)
        day += timedelta(days=1)


def _offsets_s(first_hour: int, count: int, tz: str) -> IntArray:
    """The offset of local clocks from UTC at each hour, computed once a day where that is sufficient."""
    zone = ZoneInfo(tz)

    def offset_s(hour: int) -> int:
        moment = datetime.fromtimestamp(hour * HOUR_S, UTC).astimezone(zone)
        return int((moment.utcoffset() or timedelta()).total_seconds())

    result = np.empty(count, dtype=np.int64)
    for start in range(0, count, HOURS_A_DAY):
        size = min(HOURS_A_DAY, count - start)
        first, last = offset_s(first_hour + start), offset_s(first_hour + start + size - 1)
        same = first == last
        result[start : start + size] = (
            first if same else [offset_s(first_hour + start + step) for step in range(size)]
        )
    return result


def _holiday_days(days: IntArray, region: str) -> IntArray:
    """Days since the epoch that are public holidays, in the years of `days`."""
    if not len(days):
        return np.empty(0, dtype=np.int64)
    epoch = date(1970, 1, 1)
    first, last = (epoch + timedelta(days=int(day)) for day in (days[0], days[-1]))
    known = public_holidays(region, first.year, last.year)
    return np.array(sorted((day - epoch).days for day in known), dtype=np.int64)
