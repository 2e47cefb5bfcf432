"""A forecast cycle: read the inputs of every facility, compute forecasts and issue them."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from time import perf_counter
from uuid import UUID

import structlog

from application.commands.forecast import IssueForecast
from application.forecast.cycle_alerts import (
    CONFLICTS,
    FORECASTS,
    NO_WEATHER,
    UNAVAILABLE,
    ConflictShare,
    ForecastAlerts,
)
from application.forecast.cycle_inputs import days_to_read, inputs_of
from application.forecast.cycle_report import CycleReport, TrainingOutcome, TrainingReport
from application.forecast.cycle_weather import CellWeather, CycleWeather, problems_of
from application.forecast.forecast_commands import (
    HORIZON,
    ForecastSite,
    SiteInputs,
    forecast_commands,
)
from application.forecast.isolate_failures import map_isolating_failures
from application.forecast.issue import (
    ForecastIssuing,
    RecordedForecasts,
    TooManyRaces,
    cycle_context,
    is_no_better,
)
from application.forecast.model_registry import ModelRegistry
from application.forecast.training import TRAINED_AT_ONCE, ForecastTraining, why_none
from application.ports.clock import Clock
from application.ports.failpoints import Failpoint, no_failpoint
from application.ports.forecast.load_forecaster import RECENT_DAYS, LoadForecaster, TrainedModel
from application.ports.operations.alerts import AlertRegistry
from application.ports.telemetry.store import TelemetryStore
from application.ports.weather.source import WeatherSource
from application.weather.requirements import ADVICE, NO_SERVICE
from domain.errors import DomainError
from domain.forecast import CYCLE, ForecastConflict, NoTelemetry, cycle_start_of
from domain.identifiers import forecast_stream_id

_log = structlog.get_logger(__name__)
FACILITIES_AT_ONCE = 250
"""The number of facilities that are read, forecast and recorded together."""


class ForecastCycle:
    """Runs forecast cycles. Trained models are reused from cycle to cycle; everything else is read again."""

    def __init__(
        self,
        *,
        facilities: Callable[[], Sequence[ForecastSite]],
        telemetry: TelemetryStore,
        weather: WeatherSource | None,
        forecaster: LoadForecaster,
        issuing: ForecastIssuing,
        alerts: AlertRegistry,
        clock: Clock,
        models: ModelRegistry | None = None,
        reached: Failpoint = no_failpoint,
    ) -> None:
        self._facilities = facilities
        self._telemetry = telemetry
        self._weather = CycleWeather(weather, clock)
        self._forecaster = forecaster
        self._issuing = issuing
        self._alerts = ForecastAlerts(alerts, clock)
        self._conflicts = ConflictShare()
        self._clock = clock
        self._models = models or ModelRegistry()
        self._training = ForecastTraining(telemetry, self._weather, forecaster, self._models)
        self._reached = reached
        self._is_first = True
        self._taken_over: datetime | None = None

    def take_over(self, cycle_start: datetime) -> None:
        """Mark a cycle as taken over: its forecasts may come from a predecessor, or from this process before
        an interruption.

        Readings and models that arrived since then are no conflict. The forecasts of any other cycle count as
        those of a competing scheduler. The first cycle that runs is taken over automatically.
        """
        self._is_first = False
        self._taken_over = cycle_start

    async def run(
        self, *, at: datetime, only: Collection[str] | None = None, actor: str = "worker:compute"
    ) -> CycleReport:
        """Run the cycle that contains `at`, for all facilities or only those named.

        Raises TelemetryStoreUnavailable, EventStoreUnavailable or OperationsUnavailable; issued forecasts
        stay.
        """
        began = perf_counter()
        report = CycleReport(cycle_start=cycle_start_of(at))
        if self._is_first:
            self.take_over(report.cycle_start)
        sites = [
            site
            for site in await asyncio.to_thread(self._facilities)
            if only is None or site.facility_id in only
        ]
        ids = [site.facility_id for site in sites]
        await asyncio.to_thread(self._models.recall, ids, report.cycle_start)
        new = {
            *self._models.new(ids, report.cycle_start),
            *await self._training.improvable(sites, report.cycle_start),
        }
        for start in range(0, len(sites), FACILITIES_AT_ONCE):
            await self._forecast(sites[start : start + FACILITIES_AT_ONCE], new, report, actor)
        if only is None:
            await self._state_alerts(report)
        self._taken_over = None
        report.seconds = round(perf_counter() - began, 3)
        # Models that are a day old are trained for the next cycle, so that no forecast waits for them.
        due = set(self._models.due(ids, report.cycle_start))
        again = [site for site in sites if site.facility_id in due]
        await self._training.train(again, report)
        return report

    async def train(
        self,
        *,
        at: datetime,
        only: Collection[str] | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> TrainingReport:
        """Train the models of all facilities or only those named, now; the next cycle uses them, in any process.

        `progress` is called with the number of facilities done. Raises TelemetryStoreUnavailable or
        OperationsUnavailable; models trained before stay.
        """
        began = perf_counter()
        cycle = CycleReport(cycle_start=cycle_start_of(at))
        report = TrainingReport(at=at, refused=cycle.refused)
        known = await asyncio.to_thread(self._facilities)
        sites = [site for site in known if only is None or site.facility_id in only]
        for start in range(0, len(sites), TRAINED_AT_ONCE):
            some = sites[start : start + TRAINED_AT_ONCE]
            weather = await self._training.past_weather(some, cycle.cycle_start)
            report.weather |= problems_of(weather)
            trained = await self._training.train_with(weather, some, cycle, trained_at=at)
            report.trained |= {one: TrainingOutcome.of(model) for one, model in trained.items()}
            progress(start + len(some))
        report.seconds = round(perf_counter() - began, 3)
        return report

    async def train_waiting(self, report: CycleReport, while_time: Callable[[], bool]) -> None:
        """Train the facilities that had no model in the cycle of `report`, for the next one, while
        `while_time` returns True.

        Raises TelemetryStoreUnavailable or OperationsUnavailable; models trained before stay.
        """
        if not report.waiting:
            return
        waiting = set(report.waiting)
        sites = [one for one in await asyncio.to_thread(self._facilities) if one.facility_id in waiting]
        for start in range(0, len(sites), TRAINED_AT_ONCE):
            if not while_time():
                return
            await self._training.train(sites[start : start + TRAINED_AT_ONCE], report)

    async def _forecast(
        self, sites: Sequence[ForecastSite], new: set[str], report: CycleReport, actor: str
    ) -> None:
        at = report.cycle_start
        recorded = await asyncio.to_thread(self._issuing.recorded, _streams(sites, at))
        to_do = [site for site in sites if not _is_full(recorded, site, at)]
        report.already_full += [site.facility_id for site in sites if _is_full(recorded, site, at)]
        first = [site for site in to_do if site.facility_id in new]
        weather = await self._training.past_weather(first, at)
        others = {site.weather_cell for site in to_do} - {site.weather_cell for site in first}
        back = CYCLE * (RECENT_DAYS * 96)
        weather |= await self._weather.fetch(others, at - back, at + HORIZON)
        report.weather |= problems_of(weather)
        await self._training.train_with(weather, first, report)
        await asyncio.to_thread(self._issue_all, to_do, weather, report, actor, recorded)

    def _issue_all(
        self,
        sites: Sequence[ForecastSite],
        weather: Mapping[str, CellWeather],
        report: CycleReport,
        actor: str,
        recorded: RecordedForecasts,
    ) -> None:
        known: list[tuple[SiteInputs, TrainedModel]] = []
        days = days_to_read([self._models.get(site.facility_id) for site in sites], report.cycle_start)
        for site, inputs in inputs_of(self._telemetry, sites, weather, report.cycle_start, days=days):
            model = self._models.get(site.facility_id)
            if isinstance(inputs, NoTelemetry):
                report.refused[site.facility_id] = str(inputs)
            elif model is None and (why := self._models.failure_reason(site.facility_id, report.cycle_start)):
                report.refused.setdefault(site.facility_id, why)
            elif model is None:
                report.refused[site.facility_id] = "it waits for its model to be trained"
                report.waiting.append(site.facility_id)
            else:
                known.append((inputs, model))
        commands = []
        answers = map_isolating_failures(known, lambda some: self._commands(some, report.cycle_start))
        for (inputs, _), command in zip(known, answers, strict=True):
            facility_id = inputs.history.facility_id
            known_forecast = recorded.get(forecast_stream_id(facility_id, report.cycle_start))
            if isinstance(command, Exception):
                report.refused[facility_id] = why_none(command)
            elif (
                known_forecast is not None
                and self._takes_over(report)
                and is_no_better(command, known_forecast)
            ):
                report.kept.append(facility_id)
                report.degraded[facility_id] = known_forecast.state.data_quality
            else:
                commands.append(command)
        self._issue(commands, report, actor, recorded)

    def _commands(
        self, known: Sequence[tuple[SiteInputs, TrainedModel]], at: datetime
    ) -> list[IssueForecast]:
        inputs, models = zip(*known, strict=True)
        return forecast_commands(inputs, models, at, self._forecaster)

    def _issue(
        self, commands: Sequence[IssueForecast], report: CycleReport, actor: str, recorded: RecordedForecasts
    ) -> None:
        if not commands:
            return
        in_flight = f"{len(commands)} forecasts of {report.cycle_start.isoformat()}"
        self._reached("compute.before_issue", in_flight)
        outcomes = self._issuing.issue([(one, cycle_context(one, actor)) for one in commands], recorded)
        self._reached("compute.after_issue", in_flight)
        for command, outcome in zip(commands, outcomes, strict=True):
            facility_id = command.facility_id
            if isinstance(outcome, ForecastConflict):
                report.conflicts.append(facility_id)
                _log.info("forecast refused", facility=facility_id, error=str(outcome))
            elif isinstance(outcome, DomainError | TooManyRaces):
                report.refused[facility_id] = str(outcome)
            else:
                getattr(report, outcome.outcome).append(facility_id)
                if outcome.data_quality != "full":
                    report.degraded[facility_id] = outcome.data_quality

    def _takes_over(self, report: CycleReport) -> bool:
        return self._taken_over == report.cycle_start

    async def _state_alerts(self, report: CycleReport) -> None:
        without_weather = {cell: why for cell, why in report.weather.items() if why}
        if not self._weather.has_source and (report.refused or report.has_forecast()):
            without_weather[NO_WEATHER] = f"{NO_SERVICE}; {ADVICE}"
        await self._alerts.state(UNAVAILABLE, without_weather)
        # Forecasts from before a takeover are kept, so such a cycle cannot show whether there is a competing
        # scheduler.
        if not self._takes_over(report):
            too_many = self._conflicts.after(report)
            await self._alerts.state(CONFLICTS, {} if too_many is None else {FORECASTS: too_many})


def _streams(sites: Sequence[ForecastSite], cycle_start: datetime) -> list[UUID]:
    return [forecast_stream_id(site.facility_id, cycle_start) for site in sites]


def _is_full(recorded: RecordedForecasts, site: ForecastSite, cycle_start: datetime) -> bool:
    """True if it has a full-quality forecast for that cycle, which cannot be improved."""
    known = recorded.get(forecast_stream_id(site.facility_id, cycle_start))
    return known is not None and known.state.data_quality == "full"
