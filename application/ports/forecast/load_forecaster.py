"""The load forecaster port: train a model on a facility's history occasionally, forecast from it every
cycle."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from domain.time_series.windows import FloatArray, IntervalSeries

RECENT_DAYS = 8
"""Days of history before the origin that a forecast from a trained model uses."""


NAIVE = "naive"
"""The name of models for facilities with little history. They do not use weather."""


class TooLittleHistory(ValueError):
    """Less than a day of load is available, too little for a forecast. The message says how much there is."""


class FacilityHistory(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A facility's load and temperature up to the end of the series; NaN where missing."""

    facility_id: str
    tz: str
    """IANA time zone: the calendar that the load follows."""
    mean_kw: IntervalSeries
    """Mean kW per step of 15 minutes or an hour."""
    temp_c: IntervalSeries
    """Outdoor temperature per step of 15 minutes or an hour, degrees Celsius."""
    region: str | None = None
    """Country and, after a hyphen, region (ISO 3166: "US-CA"), for public holidays; None: derived from the
    time zone."""

    def with_load(self, mean_kw: FloatArray) -> "FacilityHistory":
        """A copy with other loads in the same steps."""
        series = IntervalSeries(self.mean_kw.starts_at, self.mean_kw.step_s, mean_kw)
        return msgspec.structs.replace(self, mean_kw=series)


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """The result of training. `parameters` is opaque to the application, and equal for equal histories."""

    name: str
    version: str
    trained_at: datetime
    uses_weather: bool
    parameters: bytes
    known_until: datetime | None = None
    """The end of the history that `parameters` contain; a forecast also needs the load since then."""
    notes: tuple[str, ...] = ()
    """What was left out of the history, and why, for people."""


class LoadQuantiles(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Mean kW per step as quantiles: three arrays of shape (steps,), p10 <= p50 <= p90."""

    p10_kw: FloatArray
    p50_kw: FloatArray
    p90_kw: FloatArray
    used_weather: bool
    age_h: int = 0
    """As BlockQuantiles.ages_h."""
    left_out: int = 0
    """As BlockQuantiles.left_out."""
    unheard: int = 0
    """As BlockQuantiles.unheard."""


class RecentBlock(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The recent history of several facilities before an origin, on one grid; NaN where missing."""

    facility_ids: tuple[str, ...]
    tz: tuple[str, ...]
    regions: tuple[str | None, ...]
    """As FacilityHistory.region."""
    starts_at: datetime
    step_s: int
    mean_kw: FloatArray
    """Shape (facilities, steps)."""
    temp_c: FloatArray
    coverage: tuple[float, ...] = ()
    """The share of the last day that sensors reported, 0 to 1; empty: derived from `mean_kw`."""


class TemperaturesAhead(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Hourly temperature forecasts of several facilities. A row with too many gaps is not used."""

    starts_at: datetime
    temp_c: FloatArray
    """Shape (facilities, hours), NaN where unknown."""
    stale: tuple[bool, ...] = ()
    """Which rows are old, so that their forecasts are less certain. Empty: none."""


class BlockQuantiles(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Like LoadQuantiles, for several facilities."""

    kw: FloatArray
    """Shape (3, facilities, steps): p10, p50, p90."""
    used_weather: tuple[bool, ...]
    ages_h: tuple[int, ...]
    """Whole hours before the start without usable load. A meter that repeats one value counts as silent."""
    left_out: tuple[int, ...]
    """Steps of the last day that were rejected as spikes and not used."""
    unheard: tuple[int, ...]
    """Steps since the last used reading, where the newest readings are spikes; else 0."""

    def of(self, row: int) -> LoadQuantiles:
        return LoadQuantiles(
            p10_kw=self.kw[0, row],
            p50_kw=self.kw[1, row],
            p90_kw=self.kw[2, row],
            used_weather=self.used_weather[row],
            age_h=self.ages_h[row],
            left_out=self.left_out[row],
            unheard=self.unheard[row],
        )


class LoadForecaster(Protocol):
    """Synchronous and deterministic: equal arguments give equal results."""

    def train(self, history: FacilityHistory, *, at: datetime) -> TrainedModel:
        """Train a model on `history`; `at` is recorded as its training time. Raises TooLittleHistory."""
        ...

    def can_use_weather(self, history: FacilityHistory) -> bool:
        """True if a model trained on at least `history` would use the weather: enough load with temperatures."""
        ...

    def train_many(
        self, histories: Sequence[FacilityHistory], *, at: datetime
    ) -> list[TrainedModel | TooLittleHistory]:
        """Like `train`, for many histories in their order. Most efficient when they reach back equally far."""
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
        """Forecast `steps` steps (of the length of `recent.mean_kw`) from `starts_at`, at most 48 hours.

        `recent` should hold the load since `model.known_until` and the last day before `starts_at`. Data
        older than RECENT_DAYS, and data from `starts_at` on, is ignored. `temperatures` is the weather
        forecast in degrees Celsius. Without it, or where it does not cover the horizon, the forecast is made
        without weather and says so.
        """
        ...

    def forecast_many(
        self,
        models: Sequence[TrainedModel],
        recent: RecentBlock,
        *,
        starts_at: datetime,
        steps: int,
        temperatures: TemperaturesAhead | None,
    ) -> BlockQuantiles:
        """Like `forecast`, for the facilities of `recent` together; `models` in their order."""
        ...
