"""Forecast scores: sums by facility, day, lead time and quality, and the correlation of errors."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Protocol

import msgspec


class ForecastScore(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over quarter-hours of one facility that were forecast `lead_h` hours ahead."""

    facility_id: str
    lead_h: int
    data_quality: str
    """Of the forecasts, as issued."""
    quarters: int
    load_kw: float
    """Metered."""
    error_kw: float
    """Forecast median minus meter."""
    abs_kw: float
    square_kw2: float
    pinball_kw: float
    """Mean of the pinball losses of the three quantiles."""
    below: int
    """Quarter-hours in which the meter was below the 10 % quantile."""
    above: int
    """Quarter-hours in which the meter was above the 90 % quantile."""
    compared: int
    """Quarter-hours for which the load a week before is available too. The two sums below are over these."""
    compared_square_kw2: float
    naive_square_kw2: float
    """Of the error of the load a week before as a forecast."""


class ErrorCorrelation(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over quarter-hours of all facilities with forecast and meter, forecast `lead_h` hours ahead."""

    lead_h: int
    quarters: int
    pairs_kw2: float
    """Sum of the products of two different facilities' errors."""
    own_kw2: float
    """Sum of the squares of the errors."""
    spread_pairs_kw2: float
    """Like `pairs_kw2`, for the spreads of the forecasts."""
    spread_own_kw2: float


class ForecastScores(Protocol):
    """Synchronous. Every method raises OperationsUnavailable when the store does not answer."""

    def scored_through(self) -> datetime | None:
        """The end of the last recorded hour; None before the first."""
        ...

    def record(
        self,
        hour: datetime,
        scores: Sequence[ForecastScore],
        correlations: Sequence[ErrorCorrelation],
        *,
        after: datetime | None,
    ) -> bool:
        """Add the hour that starts at `hour` to the sums of its UTC day, all or nothing.

        False, and nothing is added, where the last recorded hour is not the one that ended at `after`.
        """
        ...

    def totals(
        self, first: date, last: date, facility_ids: Collection[str] | None = None
    ) -> list[ForecastScore]:
        """Sums over the days from `first` to `last`, both included, of the given facilities or of all.
        Ordered by facility, lead time and quality."""
        ...

    def correlations(self, first: date, last: date) -> list[ErrorCorrelation]:
        """Sums over the days from `first` to `last`, both included, by lead time."""
        ...

    def delete_before(self, day: date) -> int:
        """Delete the sums of earlier days. Returns how many there were."""
        ...
