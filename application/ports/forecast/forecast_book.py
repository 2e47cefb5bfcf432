"""The newest forecast issued for a facility, from the forecasts' own log, as planning reads it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec

from domain.forecast import QuantileSteps


class ForecastStep(msgspec.Struct, frozen=True):
    """Mean kW over one step, as quantiles."""

    starts_at: datetime
    ends_at: datetime
    p10_kw: float
    p50_kw: float
    p90_kw: float


class IssuedForecast(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast as issued, with its position in the forecasts' log."""

    forecast_id: UUID
    position: int
    facility_id: str
    cycle_start: datetime
    issued_at: datetime
    data_quality: str
    quantiles: QuantileSteps

    @property
    def steps(self) -> tuple[ForecastStep, ...]:
        """The steps one by one, with their times."""
        whole, step = self.quantiles, timedelta(seconds=self.quantiles.step_s)
        return tuple(
            ForecastStep(whole.starts_at + step * number, whole.starts_at + step * (number + 1), *kw)
            for number, kw in enumerate(zip(whole.p10_kw, whole.p50_kw, whole.p90_kw, strict=True))
        )


class ForecastBook(Protocol):
    """Finds the forecasts that a decision uses. Reads the log, not a read model (synchronous)."""

    def newest(self, facility_id: str, *, at: datetime) -> IssuedForecast | None:
        """The newest forecast issued at or before `at`, looking back a few cycles; None if there is none."""
        ...

    def newest_of(self, facility_ids: Sequence[str], *, at: datetime) -> dict[str, IssuedForecast]:
        """Like `newest`, for many facilities in one round trip. Facilities without a forecast are left out."""
        ...
