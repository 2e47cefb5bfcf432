"""Training of the models that a forecast cycle needs, from facilities' whole histories."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from application.forecast.cycle_inputs import inputs_of
from application.forecast.cycle_report import CycleReport
from application.forecast.cycle_weather import CellWeather, CycleWeather
from application.forecast.forecast_commands import HORIZON, TRAINED_ON, ForecastSite
from application.forecast.isolate_failures import map_isolating_failures
from application.forecast.model_registry import ModelRegistry
from application.ports.forecast.load_forecaster import LoadForecaster, TrainedModel
from application.ports.telemetry.store import TelemetryStore
from application.weather.requirements import PAST_WEATHER
from domain.forecast import NoTelemetry

_log = structlog.get_logger(__name__)
TRAINED_AT_ONCE = 64
"""The number of facilities whose whole histories are in memory at a time."""


class ForecastTraining:
    """Trains models and puts them into the registry. Failures are recorded in the report."""

    def __init__(
        self,
        telemetry: TelemetryStore,
        weather: CycleWeather,
        forecaster: LoadForecaster,
        models: ModelRegistry,
    ) -> None:
        self._telemetry = telemetry
        self._weather = weather
        self._forecaster = forecaster
        self._models = models

    async def train(self, sites: Sequence[ForecastSite], report: CycleReport) -> None:
        """Train as of the cycle of `report`. Raises TelemetryStoreUnavailable or OperationsUnavailable."""
        await self.train_with(await self.past_weather(sites, report.cycle_start), sites, report)

    async def improvable(self, sites: Sequence[ForecastSite], at: datetime) -> list[str]:
        """The facilities whose models were trained without weather and would use it now, because their cell has weather
        or their history got temperatures. Raises TelemetryStoreUnavailable.

        They are trained in the cycle of `at`, and recorded in the registry, as are those that were read in vain.
        """
        if not self._weather.has_source:
            return []
        known = {site.facility_id: site for site in sites}
        weak = [known[one] for one in self._models.without_weather(list(known), at)]
        weather = await self.past_weather(weak, at)
        usable = [site for site in weak if weather[site.weather_cell].report is not None]
        found = await asyncio.to_thread(self._usable_now, usable, weather, at)
        self._models.record_improvement(found, at)
        self._models.record_no_use({site.facility_id for site in usable}.difference(found), at)
        return found

    def _usable_now(
        self, sites: Sequence[ForecastSite], weather: Mapping[str, CellWeather], at: datetime
    ) -> list[str]:
        inputs = inputs_of(self._telemetry, sites, weather, at, days=PAST_WEATHER.days)
        return [
            site.facility_id
            for site, found in inputs
            if not isinstance(found, NoTelemetry) and self._forecaster.can_use_weather(found.history)
        ]

    async def past_weather(self, sites: Sequence[ForecastSite], at: datetime) -> dict[str, CellWeather]:
        """The weather that training needs, and the forecasts after it."""
        cells = {site.weather_cell for site in sites}
        return await self._weather.fetch(cells, at - PAST_WEATHER, at + HORIZON)

    async def train_with(
        self,
        weather: Mapping[str, CellWeather],
        sites: Sequence[ForecastSite],
        report: CycleReport,
        *,
        trained_at: datetime | None = None,
    ) -> dict[str, TrainedModel]:
        """Like `train`, with the weather given. Returns the models, which are as of `trained_at` (None: the cycle)."""
        trained: dict[str, TrainedModel] = {}
        for start in range(0, len(sites), TRAINED_AT_ONCE):
            some = sites[start : start + TRAINED_AT_ONCE]
            trained |= await asyncio.to_thread(
                self._train_some, some, weather, report, trained_at or report.cycle_start
            )
        return trained

    def _train_some(
        self,
        sites: Sequence[ForecastSite],
        weather: Mapping[str, CellWeather],
        report: CycleReport,
        trained_at: datetime,
    ) -> dict[str, TrainedModel]:
        at = report.cycle_start
        in_vain: dict[str, str] = {}
        known = []
        for site, inputs in inputs_of(self._telemetry, sites, weather, at, days=TRAINED_ON.days):
            if isinstance(inputs, NoTelemetry):
                in_vain[site.facility_id] = str(inputs)
            else:
                known.append(inputs.history)
        answers = map_isolating_failures(known, lambda some: self._forecaster.train_many(some, at=trained_at))
        trained: dict[str, TrainedModel] = {}
        for history, model in zip(known, answers, strict=True):
            if isinstance(model, Exception):
                in_vain[history.facility_id] = why_none(model)
            else:
                trained[history.facility_id] = model
                for note in model.notes:
                    _log.warning("history left out", facility=history.facility_id, note=note)
        report.refused |= in_vain
        self._models.record_failures(in_vain, at)
        self._models.put(trained)
        return trained


def why_none(error: Exception) -> str:
    """The reason why there is no model or no forecast, for the report; it is also logged."""
    _log.warning("no forecast", reason=str(error), kind=type(error).__name__)
    return f"{type(error).__name__}: {error}"
