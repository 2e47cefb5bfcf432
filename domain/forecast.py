"""The load forecast of one facility for one cycle: its quantiles, its inputs, and their quality.

There is one stream per facility and cycle start. Equal inputs record nothing; other inputs for the same cycle
replace the forecast only if the data quality is better.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Literal, Self
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import DomainError
from domain.event_sourcing.aggregate import Aggregate, CreationEvent, Provenance
from domain.identifiers import forecast_id, forecast_stream_id
from domain.telemetry.intervals import interval_start
from domain.time_series.quantiles import CompactSteps, UnreadableSteps, compact
from domain.time_series.quantiles import QuantileSteps as QuantileSteps  # noqa: PLC0414 - part of a forecast's interface

CYCLE = timedelta(minutes=15)
"""The interval between forecast cycles."""
SHORTEST_HORIZON = timedelta(hours=24)
"""A forecast reaches at least this far."""

STALE_READING = timedelta(minutes=30)
LOWEST_COVERAGE_PCT = 90.0
STALE_WEATHER_S = 3 * 3600.0
STALE_FORECAST = 2 * CYCLE

DataQuality = Literal[
    "full",
    "degraded_stale_weather",
    "degraded_no_weather",
    "degraded_stale_data",
    "degraded_no_weather_and_stale_data",
]
BEST_FIRST: tuple[DataQuality, ...] = (
    "full",
    "degraded_stale_weather",
    "degraded_no_weather",
    "degraded_stale_data",
    "degraded_no_weather_and_stale_data",
)
ForecastGuardrail = Literal["block", "accept_no_weather", "warn"]
"""What a program does with a degraded forecast: block the dispatch, also take one without weather where it is as
accurate, or take every one and only warn."""


class ForecastConflict(DomainError):
    """Other inputs for a cycle that already has a forecast of the same or better quality."""

    code = "forecast_conflict"


class NoTelemetry(DomainError):
    """Too little was ever metered at the facility to forecast from."""

    code = "no_telemetry"


class InvalidForecast(DomainError):
    """The steps are not a forecast: too short, uneven, not finite, or with crossed quantiles."""

    code = "invalid_forecast"


def data_quality(
    *,
    at: datetime,
    newest_reading_at: datetime,
    sensor_coverage_pct: float,
    weather_available: bool,
    weather_age_s: float | None,
) -> DataQuality:
    """The quality of a forecast's inputs at `at`; `sensor_coverage_pct` is that of the last day.

    Stale data takes precedence over stale weather, because no flag covers both and the data matters more.
    """
    stale_data = at - newest_reading_at > STALE_READING or sensor_coverage_pct < LOWEST_COVERAGE_PCT
    if not weather_available:
        return "degraded_no_weather_and_stale_data" if stale_data else "degraded_no_weather"
    if stale_data:
        return "degraded_stale_data"
    if weather_age_s is None or weather_age_s > STALE_WEATHER_S:
        return "degraded_stale_weather"
    return "full"


def quality_at(data_quality: str, cycle_start: datetime, now: datetime) -> str:
    """The quality of a forecast at `now`: after two cycles it is stale, whatever its quality was when issued."""
    return "degraded_stale_data" if now - cycle_start > STALE_FORECAST else data_quality


def blocks(quality: str, guardrail: ForecastGuardrail, *, as_accurate_without_weather: bool = False) -> bool:
    """True if a forecast of `quality`, as of now (`quality_at`), blocks the dispatch of its facility.

    `as_accurate_without_weather`: the measured accuracy of that facility's forecasts without weather is as good as
    with it. It matters under `accept_no_weather` only.
    """
    if quality == "full" or guardrail == "warn":
        return False
    accepted = guardrail == "accept_no_weather" and as_accurate_without_weather
    return not (accepted and quality == "degraded_no_weather")


def is_better(quality: DataQuality, than: DataQuality) -> bool:
    """True if `quality` is better than `than`."""
    return BEST_FIRST.index(quality) < BEST_FIRST.index(than)


cycle_start_of = interval_start
"""The start of the forecast cycle that contains a moment: each quarter-hour has one."""


class ForecastInputs(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a forecast; `sensor_coverage_pct` is that of the last day."""

    input_hash: str
    """SHA-256 (hex) over the readings, temperatures and model parameters used."""
    newest_reading_at: datetime
    """The newest reading used. A frozen meter counts as silent since it froze; spikes are ignored."""
    sensor_coverage_pct: float
    weather_available: bool
    """Whether a weather forecast was available, and used if the model has learnt from temperatures. One that has not
    seen enough of them yet forecasts without weather by design, which does not lower the quality."""
    weather_age_s: float | None
    """The age of the weather forecast; None if none was used."""
    readings_left_out: int = 0
    """Quarter-hours of the last day that were excluded as spikes; they do not count as covered."""


class ForecastModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model behind a forecast."""

    name: str
    version: str
    trained_at: datetime


class ForecastState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a forecast."""

    forecast_id: UUID
    facility_id: str
    cycle_start: datetime
    issued_at: datetime
    data_quality: DataQuality
    inputs: ForecastInputs
    model: ForecastModel
    compact_steps: CompactSteps

    @property
    def steps(self) -> QuantileSteps:
        return self.compact_steps.expanded()


class Forecast(Aggregate[ForecastState]):
    """The forecast of one facility for one cycle."""

    TOPIC: ClassVar[str] = "forecast"

    class Event(Aggregate.Event, frozen=True, kw_only=True):
        """The base of every domain event of a forecast."""

        TOPIC: ClassVar[str] = "forecast.event"

    class Issued(CreationEvent, Event, frozen=True, kw_only=True):
        """The first forecast of a cycle."""

        TOPIC: ClassVar[str] = "forecast.issued.v2"
        originator_topic: str
        forecast_id: UUID
        facility_id: str
        cycle_start: datetime
        issued_at: datetime
        data_quality: DataQuality
        inputs: ForecastInputs
        model: ForecastModel
        compact_steps: CompactSteps

        @property
        def steps(self) -> QuantileSteps:
            return self.compact_steps.expanded()

        def initial_state(self) -> ForecastState:
            return ForecastState(
                forecast_id=self.forecast_id,
                facility_id=self.facility_id,
                cycle_start=self.cycle_start,
                issued_at=self.issued_at,
                data_quality=self.data_quality,
                inputs=self.inputs,
                model=self.model,
                compact_steps=self.compact_steps,
            )

    class Reissued(Event, frozen=True, kw_only=True):
        """A forecast from better inputs for the same cycle."""

        TOPIC: ClassVar[str] = "forecast.reissued.v2"
        forecast_id: UUID
        issued_at: datetime
        data_quality: DataQuality
        inputs: ForecastInputs
        model: ForecastModel
        compact_steps: CompactSteps

        @property
        def steps(self) -> QuantileSteps:
            return self.compact_steps.expanded()

        def evolve(self, state: ForecastState) -> ForecastState:
            return replace(
                state,
                forecast_id=self.forecast_id,
                issued_at=self.issued_at,
                data_quality=self.data_quality,
                inputs=self.inputs,
                model=self.model,
                compact_steps=self.compact_steps,
            )

    @classmethod
    def issue(
        cls,
        provenance: Provenance,
        *,
        facility_id: str,
        cycle_start: datetime,
        inputs: ForecastInputs,
        model: ForecastModel,
        steps: QuantileSteps | CompactSteps,
    ) -> Self:
        """Record the first forecast of a cycle. Raises InvalidForecast."""
        checked = _checked(cycle_start, steps)
        return cls.open_stream(
            forecast_stream_id(facility_id, cycle_start),
            cls.Issued,
            provenance,
            forecast_id=forecast_id(facility_id, cycle_start, inputs.input_hash),
            facility_id=facility_id,
            cycle_start=cycle_start,
            issued_at=provenance.recorded_at,
            data_quality=quality_of(inputs, cycle_start),
            inputs=inputs,
            model=model,
            compact_steps=checked,
        )

    def is_improved_by(self, inputs: ForecastInputs) -> bool:
        """True if a forecast from `inputs` would have a better quality than this one."""
        return is_better(quality_of(inputs, self.state.cycle_start), than=self.state.data_quality)

    def reissue(
        self,
        provenance: Provenance,
        *,
        inputs: ForecastInputs,
        model: ForecastModel,
        steps: QuantileSteps | CompactSteps,
    ) -> None:
        """Replace the forecast by one from better inputs; equal inputs record nothing.

        Raises ForecastConflict if the quality is not better, or InvalidForecast.
        """
        current = self.state
        if inputs.input_hash == current.inputs.input_hash:
            return
        quality = quality_of(inputs, current.cycle_start)
        if not self.is_improved_by(inputs):
            raise ForecastConflict(
                f"{current.facility_id} has a forecast of quality {current.data_quality} for the cycle of "
                f"{current.cycle_start.isoformat()}; one of {quality} from other inputs does not replace it, "
                "wait for the next cycle"
            )
        checked = _checked(current.cycle_start, steps)
        self.record(
            self.Reissued,
            provenance,
            forecast_id=forecast_id(current.facility_id, current.cycle_start, inputs.input_hash),
            issued_at=provenance.recorded_at,
            data_quality=quality,
            inputs=inputs,
            model=model,
            compact_steps=checked,
        )


def quality_of(inputs: ForecastInputs, cycle_start: datetime) -> DataQuality:
    """The data quality of a forecast made from `inputs` for that cycle."""
    return data_quality(
        at=cycle_start,
        newest_reading_at=inputs.newest_reading_at,
        sensor_coverage_pct=inputs.sensor_coverage_pct,
        weather_available=inputs.weather_available,
        weather_age_s=inputs.weather_age_s,
    )


def _checked(cycle_start: datetime, steps: QuantileSteps | CompactSteps) -> CompactSteps:
    if cycle_start != cycle_start_of(cycle_start):
        raise InvalidForecast(f"a cycle starts on a quarter-hour, not at {cycle_start.isoformat()}")
    try:
        checked = compact(steps)
        low, middle, high = checked.kw()
    except (ValueError, UnreadableSteps) as error:
        raise InvalidForecast(
            f"the steps are quarter-hours with three finite quantiles each: {error}"
        ) from error
    if checked.starts_at != cycle_start or checked.step_s != CYCLE.total_seconds():
        raise InvalidForecast("the steps are quarter-hours from the cycle's start")
    if checked.ends_at - cycle_start < SHORTEST_HORIZON:
        raise InvalidForecast(f"a forecast reaches 24 h or more, not only to {checked.ends_at.isoformat()}")
    crossed = (low > middle) | (middle > high)
    if crossed.any():
        first = int(crossed.argmax())
        raise InvalidForecast(
            f"the quantiles {low[first]:g}, {middle[first]:g}, {high[first]:g} kW are not in order"
        )
    return checked
