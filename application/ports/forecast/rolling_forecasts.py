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
"""Which temperatures are available ahead: the actual ones with the errors of a weather forecast, those of the
day before, or none."""


class BacktestConditions(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions that the forecasts are made under."""

    weather: WeatherAhead = "forecast"
    weather_error_k: float = 1.7
    """The standard deviation of the simulated weather forecast's error, kelvin."""
    stale_h: int = 0
    """The age of the newest reading at each origin, hours."""
    days: int = 365
    """The most days, counted from the last one, that are tested."""
    learn_days: int = 120
    """The fewest days of history before the first origin."""


class FacilityRun(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All forecasts of one facility."""

    facility_id: str
    model: str
    """At the last origin."""
    origins_s: NDArray[np.int64]
    """Seconds since 1970: local midnights, shape (origins,)."""
    kw: FloatArray
    """Shape (3, origins, steps of 48 h): p10, p50 and p90, in the steps of the history."""
    notes: tuple[str, ...] = ()


class RollingForecasts(Protocol):
    """Synchronous and deterministic."""

    def runs(
        self, histories: Sequence[FacilityHistory], conditions: BacktestConditions
    ) -> Iterator[FacilityRun]:
        """A run for each facility that has enough history, in any order.

        A forecast uses nothing that was measured at its origin or later, except for the temperatures that
        `conditions` allow.
        """
        ...
