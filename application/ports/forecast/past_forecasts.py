"""Forecasts as they were issued, for people who ask and for scoring: whole, and however old."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.forecast import ForecastState


class ForecastPlace(NamedTuple):
    """What a forecast is of: a facility, and the cycle that it was made in."""

    facility_id: str
    cycle_start: datetime


class PastForecasts(Protocol):
    """Reads the forecasts' own log (synchronous)."""

    def standing(
        self, places: Collection[ForecastPlace], *, at: datetime
    ) -> dict[ForecastPlace, ForecastState]:
        """Of each place the forecast that stood at `at`, reissues by then included; places without one are left out.

        Raises EventStoreUnavailable.
        """
        ...
