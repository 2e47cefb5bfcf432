"""Simulated forecasts: a flat load, issued every cycle; degraded, old or missing for some facilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from application.ports.forecast.forecast_book import IssuedForecast
from domain.forecast import CYCLE, DataQuality, QuantileSteps, cycle_start_of
from domain.identifiers import forecast_id

STEPS = 16


class ForecastFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of a facility's forecasts that ends at `until`."""

    quality: DataQuality | None = "full"
    """None: there is no forecast."""
    cycles_late: int = 0
    until: datetime


@dataclass(frozen=True)
class SimulatedForecasts:
    """ForecastBook."""

    load_kw: Mapping[str, float]
    faults: Mapping[str, ForecastFault]

    def newest(self, facility_id: str, *, at: datetime) -> IssuedForecast | None:
        faults = self.faults.get(facility_id)
        bad = faults if faults is not None and at < faults.until else None
        if facility_id not in self.load_kw or (bad is not None and bad.quality is None):
            return None
        cycle_start = cycle_start_of(at) - CYCLE * (0 if bad is None else bad.cycles_late)
        load_kw = self.load_kw[facility_id]
        return IssuedForecast(
            forecast_id=forecast_id(facility_id, cycle_start, "simulated"),
            position=1 + int((cycle_start - datetime(2026, 1, 1, tzinfo=at.tzinfo)) / CYCLE),
            facility_id=facility_id,
            cycle_start=cycle_start,
            issued_at=cycle_start + timedelta(seconds=1),
            data_quality="full" if bad is None else str(bad.quality),
            quantiles=QuantileSteps(
                starts_at=cycle_start,
                step_s=int(CYCLE.total_seconds()),
                p10_kw=(0.9 * load_kw,) * STEPS,
                p50_kw=(load_kw,) * STEPS,
                p90_kw=(1.1 * load_kw,) * STEPS,
            ),
        )

    def newest_of(self, facility_ids: Sequence[str], *, at: datetime) -> dict[str, IssuedForecast]:
        found = {facility_id: self.newest(facility_id, at=at) for facility_id in facility_ids}
        return {facility_id: forecast for facility_id, forecast in found.items() if forecast is not None}
