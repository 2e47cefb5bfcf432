"""Past forecasts in memory; they pass the contract suite of PostgreSQL's."""

from collections.abc import Collection
from datetime import datetime

from application.ports.forecast.past_forecasts import ForecastKey
from domain.forecast import Forecast, ForecastState


class FakePastForecasts:
    """Call `note` with the recorded events of a forecast after each save."""

    def __init__(self) -> None:
        self.recorded: list[ForecastState] = []
        self.asked: list[int] = []
        """The number of places in each call."""

    def note(self, forecast: Forecast) -> None:
        self.recorded.append(forecast.state)

    def in_force(self, places: Collection[ForecastKey], *, at: datetime) -> dict[ForecastKey, ForecastState]:
        self.asked.append(len(places))
        found: dict[ForecastKey, ForecastState] = {}
        for state in self.recorded:
            place = ForecastKey(state.facility_id, state.cycle_start)
            if place in places and state.issued_at <= at:
                found[place] = state
        return found
