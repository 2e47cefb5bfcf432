"""The window of a program: the hours, days and season in which a contract lets a DR event take place.

All of it is local to each facility.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

from domain.time_series.windows import TimeWindow, local_date

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""In the order of `date.weekday`."""
WEEKEND: frozenset[Weekday] = frozenset({"sat", "sun"})
OutsideCode = Literal["outside_hours", "outside_days", "outside_season"]

# In Python `$` also matches before a newline at the end.
HourOfDay = Annotated[str, msgspec.Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)(?!\n)$")]
"""A local time, "00:00" to "24:00"."""
DayOfYear = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])(?!\n)$"
        r"|^(0[469]|11)-(0[1-9]|[12][0-9]|30)(?!\n)$|^02-(0[1-9]|1[0-9]|2[0-9])(?!\n)$"
    ),
]
"""A day of every year, "05-01"."""


class Hours(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """From an hour to a later one, or to one of the next day where `to` is not later."""

    from_: HourOfDay
    to: HourOfDay

    def on(self, day: date, tz: ZoneInfo) -> TimeWindow:
        """The window of these hours, beginning on that local day."""
        begin, end = _at(day, self.from_, tz), _at(day, self.to, tz)
        return TimeWindow(begin, end if end > begin else _at(day + timedelta(days=1), self.to, tz))


class Season(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """From a day to another one of every year, both included; over the new year where `to` is earlier."""

    from_: DayOfYear
    to: DayOfYear

    def contains(self, day: date) -> bool:
        """True if that day is in it."""
        this = f"{day:%m-%d}"
        if self.from_ <= self.to:
            return self.from_ <= this <= self.to
        return this >= self.from_ or this <= self.to


class WindowTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of a contract about the time of a DR event; None: any."""

    hours: Hours | None = None
    days: tuple[Weekday, ...] | None = None
    on_holidays: bool = True
    """False: no DR event on a holiday of the program or the facility's region."""
    season: Season | None = None

    def violations(
        self, window: TimeWindow, tz: ZoneInfo, holidays: Collection[date]
    ) -> dict[OutsideCode, str]:
        """Why a DR event of `window` is outside of it at a facility of that time zone. Empty: it is inside."""
        found: dict[OutsideCode, str] = {}
        day = local_date(window.starts_at, tz)
        if self.hours is not None:
            day_before = day - timedelta(days=1)
            if self.hours.on(day_before, tz).covers(window):
                day = day_before  # the hours begin on the evening before
            elif not self.hours.on(day, tz).covers(window):
                found["outside_hours"] = (
                    f"{_local(window.starts_at, tz)} to {_local(window.ends_at, tz)} is not inside the program's "
                    f"hours, {self.hours.from_} to {self.hours.to} local time"
                )
        if self.days is not None and WEEKDAYS[day.weekday()] not in self.days:
            found["outside_days"] = f"{day} is a {day:%A}; the program's days are {', '.join(self.days)}"
        elif not self.on_holidays and day in holidays:
            found["outside_days"] = f"{day} is a holiday, and the program has no DR events on holidays"
        if self.season is not None and not self.season.contains(day):
            found["outside_season"] = (
                f"{day} is not in the program's season, {self.season.from_} to {self.season.to}"
            )
        return found


def _at(day: date, hour: str, tz: ZoneInfo) -> datetime:
    if hour == "24:00":
        day, hour = day + timedelta(days=1), "00:00"
    return datetime.combine(day, time.fromisoformat(hour), tz).astimezone(UTC)


def _local(at: datetime, tz: ZoneInfo) -> str:
    return at.astimezone(tz).strftime("%H:%M")
