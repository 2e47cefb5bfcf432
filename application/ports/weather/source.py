"""Weather: hourly outdoor temperatures of a cell, past and forecast."""

from datetime import datetime
from typing import Protocol

import msgspec

from domain.time_series.windows import IntervalSeries


class WeatherUnavailable(ConnectionError):
    """No usable answer came: the source is away, refused, over its quota, or answered nonsense."""


class WeatherReport(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a source said of one cell."""

    cell: str
    issued_at: datetime
    """When the forecast part was made, UTC; its age decides whether it is stale."""
    temp_c: IntervalSeries
    """Degrees Celsius per hour; NaN where the source said nothing."""


class WeatherSource(Protocol):
    """Asynchronous. Bounded in time whatever the source does."""

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        """The hours from `starts_at` to `ends_at`, which are both on the hour. Raises WeatherUnavailable."""
        ...
