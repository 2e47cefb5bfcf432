"""Where a facility is, as far as calculations need it: its time zone, weather cell and region of public holidays.

They may change from a local day on. What concerns an earlier day uses what was in force then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from domain.time_series.windows import local_date

MOST_LOCATIONS = 100
"""Of one facility, over the years."""


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Values that are in force together from the beginning of a local day on."""

    tz: str
    weather_cell: str
    region: str | None = None
    """The region whose public holidays apply, ISO 3166; None: that of the time zone."""
    from_day: date | None = None
    """In `tz`; None: from the beginning."""

    def has_begun_by(self, moment: datetime) -> bool:
        return self.from_day is None or local_date(moment, ZoneInfo(self.tz)) >= self.from_day

    def has_same_values(self, other: Location) -> bool:
        """True if they differ in their first day at most."""
        mine, others = (self.tz, self.weather_cell, self.region), (other.tz, other.weather_cell, other.region)
        return mine == others


class Locations(msgspec.Struct, frozen=True):
    """All that were agreed for a facility. `later` is in the order of the first days."""

    first: Location
    later: tuple[Location, ...] = ()

    @property
    def agreed_last(self) -> Location:
        """In force, or still to come."""
        return self.later[-1] if self.later else self.first

    def at(self, moment: datetime) -> Location:
        """The one in force at that moment."""
        return next((one for one in reversed(self.later) if one.has_begun_by(moment)), self.first)

    def on(self, day: date) -> Location:
        """The one in force on that local day."""
        begun = (one for one in reversed(self.later) if one.from_day is not None and one.from_day <= day)
        return next(begun, self.first)

    def with_agreed(self, location: Location, agreed_at: datetime) -> Locations:
        """It replaces those that begin on its first day or later, those that had not begun when it was agreed, and the
        one agreed last if it has the same values: then that one begins on another day."""
        before = self.later
        if before and before[-1].has_same_values(location):
            before = before[:-1]
        return Locations(self.first, (*_in_force_before(before, location, agreed_at), location))


def _in_force_before(later: Iterable[Location], new: Location, agreed_at: datetime) -> Iterable[Location]:
    for one in later:
        precedes = one.from_day is not None and new.from_day is not None and one.from_day < new.from_day
        if precedes and one.has_begun_by(agreed_at):
            yield one
