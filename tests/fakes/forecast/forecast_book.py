"""A forecast book in memory; it passes the contract suite of PostgreSQL's."""

from collections.abc import Sequence
from datetime import datetime

from application.ports.forecast.forecast_book import IssuedForecast
from domain.forecast import CYCLE, Forecast, ForecastState, cycle_start_of

CYCLES_BACK = 8


class FakeForecastBook:
    """Call `note` with the recorded events of a forecast after each save."""

    def __init__(self) -> None:
        self.recorded: list[ForecastState] = []

    def note(self, forecast: Forecast) -> None:
        self.recorded.append(forecast.state)

    def newest(self, facility_id: str, *, at: datetime) -> IssuedForecast | None:
        oldest = cycle_start_of(at) - CYCLE * CYCLES_BACK
        mine = [
            (state.cycle_start, position, state)
            for position, state in enumerate(self.recorded, start=1)
            if state.facility_id == facility_id
            and oldest <= state.cycle_start <= at
            and state.issued_at <= at
        ]
        if not mine:
            return None
        _, position, state = max(mine, key=lambda found: found[:2])
        return IssuedForecast(
            forecast_id=state.forecast_id,
            position=position,
            facility_id=facility_id,
            cycle_start=state.cycle_start,
            issued_at=state.issued_at,
            data_quality=state.data_quality,
            quantiles=state.steps,
        )

    def newest_of(self, facility_ids: Sequence[str], *, at: datetime) -> dict[str, IssuedForecast]:
        found = {facility_id: self.newest(facility_id, at=at) for facility_id in facility_ids}
        return {facility_id: forecast for facility_id, forecast in found.items() if forecast is not None}
