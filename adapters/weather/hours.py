"""Hourly temperatures of a weather service, placed on a grid of whole hours."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from application.ports.weather.source import WeatherUnavailable
from domain.time_series.windows import IntervalSeries
from domain.units import outdoor_celsius

HOUR = timedelta(hours=1)
DECODE_ERRORS = (UnicodeDecodeError, OverflowError, RecursionError)
"""Raised by decoding a response that is no text, has an invalid number, or is nested too deeply."""


def hourly_series(
    hours: Iterable[tuple[datetime, float]], starts_at: datetime, ends_at: datetime
) -> IntervalSeries:
    """The requested hours, in degrees Celsius; all others are left out.

    Raises WeatherUnavailable where none of them is present, and InvalidQuantity.
    """
    values = np.full(max(0, int((ends_at - starts_at) / HOUR)), np.nan)
    for at, temp_c in hours:
        index = (at - starts_at) / HOUR
        if index == int(index) and 0 <= index < len(values):
            values[int(index)] = outdoor_celsius(temp_c, name="temp_c")
    if not np.isfinite(values).any():
        raise WeatherUnavailable("the weather source's answer holds none of the hours asked for")
    return IntervalSeries(starts_at, int(HOUR.total_seconds()), values)


def on_the_hour(hours: Iterable[tuple[datetime, float]]) -> Iterator[tuple[datetime, float]]:
    """Interpolated to whole hours of UTC, where the local hours of a place begin at its half or quarter."""
    known = sorted(hours)
    for at, temp_c in known:
        if not at.minute:
            yield at, temp_c
    for (before, earlier_c), (after, later_c) in pairwise(known):
        if before.minute and after - before == HOUR:
            share = 1.0 - before.minute / 60.0
            yield after.replace(minute=0), earlier_c + (later_c - earlier_c) * share
