"""Issued forecasts, for tests of their readers."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.event_sourcing.aggregate import Provenance
from domain.forecast import Forecast, ForecastInputs, ForecastModel, QuantileSteps

CYCLE_START = datetime(2026, 7, 14, 20, 0, tzinfo=UTC)


def issued_forecast(
    facility_id: str, cycle_start: datetime, kw: float, *, full: bool = True, spread_kw: float = 1.0
) -> Forecast:
    """A forecast issued half a minute into its cycle: flat, with quantiles `spread_kw` to both sides."""
    return Forecast.issue(
        _provenance(cycle_start + timedelta(seconds=30)),
        facility_id=facility_id,
        cycle_start=cycle_start,
        inputs=_inputs(cycle_start, f"{kw}", full=full),
        model=ForecastModel(name="towt", version="1", trained_at=cycle_start - timedelta(hours=6)),
        steps=_steps(cycle_start, kw, spread_kw),
    )


def reissued(forecast: Forecast, kw: float, *, at: datetime) -> None:
    """The forecast issued again from full inputs."""
    start = forecast.state.cycle_start
    forecast.reissue(
        _provenance(at),
        inputs=_inputs(start, f"{kw}"),
        model=forecast.state.model,
        steps=_steps(start, kw, 1.0),
    )


def _provenance(at: datetime) -> Provenance:
    return Provenance(
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        actor="worker:compute",
        tenant=None,
        trace_id="0" * 32,
        recorded_at=at,
    )


def _inputs(cycle_start: datetime, input_hash: str, *, full: bool = True) -> ForecastInputs:
    return ForecastInputs(
        input_hash=input_hash,
        newest_reading_at=cycle_start - timedelta(minutes=10),
        sensor_coverage_pct=100.0 if full else 10.0,
        weather_available=True,
        weather_age_s=1_800.0,
    )


def _steps(starts_at: datetime, kw: float, spread_kw: float) -> QuantileSteps:
    return QuantileSteps(
        starts_at=starts_at,
        step_s=900,
        p10_kw=(kw - spread_kw,) * 96,
        p50_kw=(kw,) * 96,
        p90_kw=(kw + spread_kw,) * 96,
    )
