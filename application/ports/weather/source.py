"""The weather port: hourly outdoor temperatures of a cell, past and forecast."""

from datetime import datetime
from typing import Protocol

import msgspec

from domain.time_series.windows import IntervalSeries


class WeatherUnavailable(ConnectionError):
    """No usable answer: the source is unavailable, refused, is over its quota, or answered with invalid
    data."""


class WeatherReport(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The data of one cell from a source."""

    cell: str
    issued_at: datetime
    """When the forecast part was made, UTC; its age decides whether it is stale."""
    temp_c: IntervalSeries
    """Degrees Celsius per hour; NaN where the source has no value."""
    is_past_due: bool = False
    """Whether hours of the past are missing only because they could not be read now."""


class WeatherSource(Protocol):
    """Asynchronous. Every call is bounded in time."""

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        """The hours from `starts_at` to `ends_at`, which are both on the hour. Raises WeatherUnavailable."""
        ...
