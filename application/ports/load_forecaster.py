"""Forecasts of load: train a model on a facility's history now and then, forecast from it every cycle."""

from datetime import datetime
from typing import Protocol

import msgspec

from domain.time_windows import FloatArray, IntervalSeries

RECENT_DAYS = 8
"""How many days of history before the origin a forecast from a trained model looks at."""


class TooLittleHistory(ValueError):
    """Less than a day of load is known: a forecast would be a guess. The message says how much there is."""


class FacilityHistory(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is known of a facility's load up to the end of the series; NaN where missing."""

    facility_id: str
    tz: str
    """IANA time zone: the calendar that the load follows."""
    mean_kw: IntervalSeries
    """Mean kW per step of 15 minutes or an hour."""
    temp_c: IntervalSeries
    """Outdoor temperature per step of 15 minutes or an hour, degrees Celsius."""


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What training found out; `parameters` is the adapter's own, and the same for the same history."""

    name: str
    version: str
    trained_at: datetime
    uses_weather: bool
    parameters: bytes


class LoadQuantiles(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Mean kW per step as quantiles: three arrays of shape (steps,), p10 <= p50 <= p90."""

    p10_kw: FloatArray
    p50_kw: FloatArray
    p90_kw: FloatArray
    used_weather: bool


class LoadForecaster(Protocol):
    """Synchronous, and deterministic: the same arguments give the same answer."""

    def train(self, history: FacilityHistory, *, at: datetime) -> TrainedModel:
        """A model of `history`, noted as trained at `at`. Raises TooLittleHistory."""
        ...

    def forecast(
        self,
        model: TrainedModel,
        recent: FacilityHistory,
        *,
        starts_at: datetime,
        steps: int,
        temperatures: IntervalSeries | None,
    ) -> LoadQuantiles:
        """`steps` steps (of the length of `recent.mean_kw`) from `starts_at`, at most 48 hours of them.

        `recent` should hold the RECENT_DAYS before `starts_at`; what it holds from then on is not looked at.
        `temperatures` are those expected, degrees Celsius; without them, or where they do not cover the
        horizon, the forecast is made without weather and says so.
        """
        ...
