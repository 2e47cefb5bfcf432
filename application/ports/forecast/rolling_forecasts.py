"""Forecasts as they would have been made day after day, for a backtest."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from application.ports.forecast.load_forecaster import FacilityHistory
from domain.time_series.windows import FloatArray

HORIZON_H = 48

WeatherAhead = Literal["forecast", "yesterday", "none"]
"""What is known ahead: the temperatures that came, with errors as a weather forecast has them; those of the day
before; nothing."""


class BacktestConditions(msgspec.Struct, frozen=True, kw_only=True):
    """Under what the forecasts are made."""

    weather: WeatherAhead = "forecast"
    weather_error_k: float = 1.7
    """The standard deviation of the made-up weather forecast's error, kelvin."""
    stale_h: int = 0
    """How old the newest reading is at each origin, hours."""
    days: int = 365
    """At most so many of the last days are tried."""
    learn_days: int = 120
    """Days of history before the first origin, at least."""


class FacilityRun(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All forecasts of one facility."""

    facility_id: str
    model: str
    """As of the last origin."""
    origins_s: NDArray[np.int64]
    """Seconds since 1970: local midnights, shape (origins,)."""
    kw: FloatArray
    """Shape (3, origins, steps of 48 h): p10, p50 and p90, in the history's own steps."""
    notes: tuple[str, ...] = ()


class RollingForecasts(Protocol):
    """Synchronous, and deterministic."""

    def runs(
        self, histories: Sequence[FacilityHistory], conditions: BacktestConditions
    ) -> Iterator[FacilityRun]:
        """One for each facility that has enough history, in any order.

        A forecast rests on nothing that was measured at its origin or later, but for the temperatures that
        `conditions` allow.
        """
        ...
