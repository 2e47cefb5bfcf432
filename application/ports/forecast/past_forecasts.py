"""Forecasts as they were issued, in full and of any age, for queries and for scoring."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.forecast import ForecastState


class ForecastKey(NamedTuple):
    """The key of a forecast: a facility, and the cycle that it was made in."""

    facility_id: str
    cycle_start: datetime


class PastForecasts(Protocol):
    """Reads the forecasts' own log (synchronous)."""

    def in_force(self, places: Collection[ForecastKey], *, at: datetime) -> dict[ForecastKey, ForecastState]:
        """The forecast of each key that was in force at `at`, including reissues by then. Keys without a
        forecast are left out.

        Raises EventStoreUnavailable.
        """
        ...
