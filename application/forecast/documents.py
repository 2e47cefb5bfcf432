"""Documents of forecasts, the same over HTTP and on the command line."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from application.forecast.as_of import LeadStep
from domain.forecast import CYCLE, STALE_FORECAST, DataQuality, ForecastState, QuantileSteps, quality_at


class QuantilesDocument(msgspec.Struct, frozen=True):
    """Mean kW over a step."""

    p10: float
    p50: float
    p90: float


class StepDocument(msgspec.Struct, frozen=True, kw_only=True):
    starts_at: datetime
    ends_at: datetime
    kw: QuantilesDocument


class ModelDocument(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    trained_at: datetime
    age_s: float
    """At the start of the forecast's cycle."""


class IssuedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast without its steps. Ages are those at the start of its cycle, except for `age_s`."""

    forecast_id: str
    cycle_start: datetime
    issued_at: datetime
    data_quality: DataQuality
    """As issued."""
    weather_available: bool
    weather_age_s: float | None
    sensor_coverage_pct: float
    """Of the last day before the cycle."""
    readings_left_out: int
    """Quarter-hours of that day that were rejected as spikes."""
    newest_reading_at: datetime
    reading_age_s: float
    model: ModelDocument


class ForecastDocument(IssuedDocument, frozen=True, kw_only=True):
    facility_id: str
    as_of: datetime
    age_s: float
    """Clock seconds since it was issued, at `as_of`."""
    stale: bool
    """Older than two cycles at `as_of`."""
    counts_as: str
    """Its data quality as a plan would use it at `as_of`."""
    step_s: int
    steps: tuple[StepDocument, ...]


class LeadStepDocument(msgspec.Struct, frozen=True, kw_only=True):
    """None where no forecast of that cycle reaches so far."""

    starts_at: datetime
    ends_at: datetime
    kw: QuantilesDocument | None
    forecast: IssuedDocument | None


class LeadTimeDocument(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    as_of: datetime
    lead_time_h: float
    step_s: int
    steps: tuple[LeadStepDocument, ...]


def forecast_document(state: ForecastState, as_of: datetime) -> ForecastDocument:
    age_s, steps = (as_of - state.issued_at).total_seconds(), state.steps
    return ForecastDocument(
        **_issued(state),
        facility_id=state.facility_id,
        as_of=as_of,
        age_s=age_s,
        stale=as_of - state.cycle_start > STALE_FORECAST,
        counts_as=quality_at(state.data_quality, state.cycle_start, as_of),
        step_s=steps.step_s,
        steps=tuple(_step(steps, number) for number in range(len(steps.p50_kw))),
    )


def lead_time_document(
    facility_id: str, steps: list[LeadStep], lead_time: timedelta, as_of: datetime
) -> LeadTimeDocument:
    return LeadTimeDocument(
        facility_id=facility_id,
        as_of=as_of,
        lead_time_h=lead_time / timedelta(hours=1),
        step_s=int(CYCLE.total_seconds()),
        steps=tuple(
            LeadStepDocument(
                starts_at=step.starts_at,
                ends_at=step.starts_at + CYCLE,
                kw=None if step.kw is None else QuantilesDocument(*step.kw),
                forecast=None if step.forecast is None else IssuedDocument(**_issued(step.forecast)),
            )
            for step in steps
        ),
    )


def _issued(state: ForecastState) -> dict[str, Any]:
    """The fields of an IssuedDocument."""
    inputs, model, began = state.inputs, state.model, state.cycle_start
    return {
        "forecast_id": str(state.forecast_id),
        "cycle_start": began,
        "issued_at": state.issued_at,
        "data_quality": state.data_quality,
        "weather_available": inputs.weather_available,
        "weather_age_s": inputs.weather_age_s,
        "sensor_coverage_pct": inputs.sensor_coverage_pct,
        "readings_left_out": inputs.readings_left_out,
        "newest_reading_at": inputs.newest_reading_at,
        "reading_age_s": max(0.0, (began - inputs.newest_reading_at).total_seconds()),
        "model": ModelDocument(
            name=model.name,
            version=model.version,
            trained_at=model.trained_at,
            age_s=(began - model.trained_at).total_seconds(),
        ),
    }


def _step(quantiles: QuantileSteps, number: int) -> StepDocument:
    step = timedelta(seconds=quantiles.step_s)
    return StepDocument(
        starts_at=quantiles.starts_at + step * number,
        ends_at=quantiles.starts_at + step * (number + 1),
        kw=QuantilesDocument(quantiles.p10_kw[number], quantiles.p50_kw[number], quantiles.p90_kw[number]),
    )
