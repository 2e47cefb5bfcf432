"""Forecasts of load: train a model on a facility's history now and then, forecast from it every cycle."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from domain.time_series.windows import FloatArray, IntervalSeries

RECENT_DAYS = 8
"""How many days of history before the origin a forecast from a trained model looks at."""


NAIVE = "naive"
"""The name of models of facilities with little history, which know no weather by design."""


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
    region: str | None = None
    """Country and, after a hyphen, region (ISO 3166: "US-CA"), for public holidays; None: as the time zone says."""

    def with_load(self, mean_kw: FloatArray) -> "FacilityHistory":
        """The same with other loads in the same steps."""
        series = IntervalSeries(self.mean_kw.starts_at, self.mean_kw.step_s, mean_kw)
        return msgspec.structs.replace(self, mean_kw=series)


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What training found out; `parameters` is the adapter's own, and the same for the same history."""

    name: str
    version: str
    trained_at: datetime
    uses_weather: bool
    parameters: bytes
    known_until: datetime | None = None
    """Where the history that `parameters` remember ends; a forecast needs what came since."""
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
    """What is known of several facilities before an origin, on one grid; NaN where missing."""

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
    """The share of the last day that sensors told of, 0 to 1; empty: as `mean_kw` says."""


class TemperaturesAhead(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Hourly temperatures foreseen for several facilities; a row that is not known well enough is not used."""

    starts_at: datetime
    temp_c: FloatArray
    """Shape (facilities, hours), NaN where unknown."""
    stale: tuple[bool, ...] = ()
    """Whose are old: their forecasts are less sure. Empty: nobody's."""


class BlockQuantiles(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """As LoadQuantiles, of several facilities."""

    kw: FloatArray
    """Shape (3, facilities, steps): p10, p50, p90."""
    used_weather: tuple[bool, ...]
    ages_h: tuple[int, ...]
    """Whole hours before the start of which nothing is known, a meter that stands still counting as silent."""
    left_out: tuple[int, ...]
    """Steps of the last day that leapt out of all that the facility draws, and were not used."""
    unheard: tuple[int, ...]
    """Steps since the last reading that was used, where the newest ones leapt; else 0."""

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
    """Synchronous, and deterministic: the same arguments give the same answer."""

    def train(self, history: FacilityHistory, *, at: datetime) -> TrainedModel:
        """A model of `history`, noted as trained at `at`. Raises TooLittleHistory."""
        ...

    def train_many(
        self, histories: Sequence[FacilityHistory], *, at: datetime
    ) -> list[TrainedModel | TooLittleHistory]:
        """As `train`, of many at once, in their order; best of such that reach back equally far."""
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

        `recent` should hold what came since `model.known_until`, and the last day before `starts_at`; of what is
        older than RECENT_DAYS, and of what it holds from `starts_at` on, nothing is looked at. `temperatures` are
        those expected, degrees Celsius; without them, or where they do not cover the horizon, the forecast is made
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
        """As `forecast`, of the facilities of `recent` at once; `models` in their order."""
        ...
