"""How forecasts turned out: sums by facility, day, lead time and quality, and how far errors go together."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Protocol

import msgspec


class ForecastScore(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over quarter-hours of one facility that were foreseen `lead_h` hours ahead."""

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
    """Quarter-hours in which the meter was under the 10 % quantile."""
    above: int
    """Over the 90 % quantile."""
    compared: int
    """Quarter-hours of which the load a week before is known, too; the two sums below are over these."""
    compared_square_kw2: float
    naive_square_kw2: float
    """Of the error that the load a week before would have made."""


class ErrorCorrelation(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over quarter-hours, of all facilities with forecast and meter, foreseen `lead_h` hours ahead."""

    lead_h: int
    quarters: int
    pairs_kw2: float
    """Of the products of two different facilities' errors."""
    own_kw2: float
    """Of the squares of their errors."""
    spread_pairs_kw2: float
    """As `pairs_kw2`, of the spreads that their forecasts foresaw."""
    spread_own_kw2: float


class ForecastScores(Protocol):
    """Synchronous. Every method raises OperationsUnavailable when the store does not answer."""

    def scored_through(self) -> datetime | None:
        """The end of the last hour that was recorded; None before the first."""
        ...

    def record(
        self,
        hour: datetime,
        scores: Sequence[ForecastScore],
        correlations: Sequence[ErrorCorrelation],
        *,
        after: datetime | None,
    ) -> bool:
        """Add the hour that starts at `hour` to the sums of its UTC day, all or nothing; False, and nothing, where
        the last recorded hour is not (any more) the one that ended at `after`."""
        ...

    def totals(
        self, first: date, last: date, facility_ids: Collection[str] | None = None
    ) -> list[ForecastScore]:
        """Summed over the days from `first` to `last`, both in; of those facilities, or of all. By facility, lead time
        and quality, in that order."""
        ...

    def correlations(self, first: date, last: date) -> list[ErrorCorrelation]:
        """Likewise, by lead time."""
        ...

    def forget_before(self, day: date) -> int:
        """Let go of the sums of earlier days; how many there were."""
        ...
