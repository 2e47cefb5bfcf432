"""One forecast cycle: what is known of every facility goes in, and forecasts are issued."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any
from uuid import uuid5

import msgspec
import structlog

from application.command_bus import CommandBus
from application.commands.forecast import Issue, IssueForecast
from application.deciding import CommandContext
from application.forecasting import (
    COVERAGE_OF,
    HORIZON,
    STEP_S,
    TRAINED_ON,
    ForecastSite,
    SiteInputs,
    forecast_command,
    is_due_for_training,
    with_past_weather,
)
from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.forecast_book import ForecastBook
from application.ports.load_forecaster import (
    RECENT_DAYS,
    FacilityHistory,
    LoadForecaster,
    TrainedModel,
)
from application.ports.telemetry_store import TelemetryStore
from application.ports.weather import WeatherSource
from domain.errors import DomainError
from domain.forecast import CYCLE, ForecastConflict, NoTelemetry, cycle_start_of
from domain.identifiers import NAMESPACE
from domain.interval_block import IntervalBlock
from domain.time_windows import IntervalSeries, TimeWindow
from interfaces.workers.forecast_alerts import ForecastAlerts
from interfaces.workers.weather_desk import CellWeather, WeatherDesk

_log = structlog.get_logger(__name__)
FACILITIES_AT_ONCE = 200
"""How many facilities' histories are in memory at a time."""
CONFLICT_CYCLES = 96
CONFLICT_SHARE = 0.001


class CycleReport(msgspec.Struct, kw_only=True):
    """What a cycle came to; facility ids, and why where there is a reason."""

    cycle_start: datetime
    issued: list[str] = []
    reissued: list[str] = []
    unchanged: list[str] = []
    already_full: list[str] = []
    """They had a forecast of full quality for this cycle, and were not looked at again."""
    degraded: dict[str, str] = {}
    refused: dict[str, str] = {}
    conflicts: list[str] = []
    weather: dict[str, str | None] = {}
    """Weather cell -> why it has no usable weather; None where it has."""
    seconds: float = 0.0

    def has_forecast(self) -> list[str]:
        """The facilities that have a forecast for this cycle that was looked at."""
        return [*self.issued, *self.reissued, *self.unchanged, *self.already_full]


class ForecastCycle:
    """Trained models are kept from cycle to cycle; the rest is read afresh."""

    def __init__(
        self,
        *,
        facilities: Callable[[], Sequence[ForecastSite]],
        telemetry: TelemetryStore,
        weather: WeatherSource | None,
        forecaster: LoadForecaster,
        book: ForecastBook,
        bus: CommandBus,
        alerts: AlertRegistry,
        clock: Clock,
    ) -> None:
        self._facilities = facilities
        self._telemetry = telemetry
        self._desk = WeatherDesk(weather, clock)
        self._forecaster = forecaster
        self._book = book
        self._bus = bus
        self._alerts = ForecastAlerts(alerts)
        self._clock = clock
        self._models: dict[str, TrainedModel] = {}
        self._tries: deque[tuple[int, int]] = deque(maxlen=CONFLICT_CYCLES)

    async def run(
        self, *, at: datetime, only: Collection[str] | None = None, actor: str = "worker:forecast"
    ) -> CycleReport:
        """The cycle that `at` falls in, of all facilities or only those named.

        Raises TelemetryStoreUnavailable or EventStoreUnavailable; what was issued until then stays.
        """
        began = perf_counter()
        report = CycleReport(cycle_start=cycle_start_of(at))
        sites = await asyncio.to_thread(self._sites_to_do, report, only)
        for start in range(0, len(sites), FACILITIES_AT_ONCE):
            await self._forecast(sites[start : start + FACILITIES_AT_ONCE], report, actor)
        await self._alert(report)
        report.seconds = round(perf_counter() - began, 3)
        return report

    def _sites_to_do(self, report: CycleReport, only: Collection[str] | None) -> list[ForecastSite]:
        sites = [site for site in self._facilities() if only is None or site.facility_id in only]
        known = self._book.newest_of([site.facility_id for site in sites], at=self._clock.now())
        to_do = []
        for site in sites:
            newest = known.get(site.facility_id)
            if newest and newest.cycle_start == report.cycle_start and newest.data_quality == "full":
                report.already_full.append(site.facility_id)
            else:
                to_do.append(site)
        return to_do

    async def _forecast(self, sites: Sequence[ForecastSite], report: CycleReport, actor: str) -> None:
        at = report.cycle_start
        new = [site for site in sites if is_due_for_training(self._models.get(site.facility_id), at)]
        new_cells = {site.weather_cell for site in new}
        old_cells = {site.weather_cell for site in sites} - new_cells
        back = CYCLE * (RECENT_DAYS * 96)
        weather = await self._desk.ask(new_cells, at - TRAINED_ON, at + HORIZON)
        weather |= await self._desk.ask(old_cells, at - back, at + HORIZON)
        report.weather |= {
            cell: None if found.is_usable else found.problem for cell, found in weather.items()
        }
        await asyncio.to_thread(self._train, new, weather, report)
        await asyncio.to_thread(self._issue_all, sites, weather, report, actor)

    def _train(
        self, sites: Sequence[ForecastSite], weather: Mapping[str, CellWeather], report: CycleReport
    ) -> None:
        for site, inputs in self._inputs(sites, weather, report.cycle_start, days=TRAINED_ON.days):
            self._models.pop(site.facility_id, None)
            if isinstance(inputs, NoTelemetry):
                continue
            try:
                model = self._forecaster.train(inputs.history, at=report.cycle_start)
            except (ValueError, KeyError) as error:  # too little history, or odd data: of this facility alone
                report.refused[site.facility_id] = _why(error)
            else:
                self._models[site.facility_id] = model

    def _issue_all(
        self,
        sites: Sequence[ForecastSite],
        weather: Mapping[str, CellWeather],
        report: CycleReport,
        actor: str,
    ) -> None:
        for site, inputs in self._inputs(sites, weather, report.cycle_start, days=RECENT_DAYS):
            model = self._models.get(site.facility_id)
            if isinstance(inputs, NoTelemetry):
                report.refused[site.facility_id] = str(inputs)
            elif model is not None:
                try:
                    command = forecast_command(inputs, model, report.cycle_start, self._forecaster)
                except ValueError as error:
                    report.refused[site.facility_id] = _why(error)
                else:
                    self._issue(command, report, actor)

    def _inputs(
        self,
        sites: Sequence[ForecastSite],
        weather: Mapping[str, CellWeather],
        cycle_start: datetime,
        *,
        days: int,
    ) -> Iterable[tuple[ForecastSite, SiteInputs | NoTelemetry]]:
        if not sites:
            return
        ids = [site.facility_id for site in sites]
        newest = self._telemetry.newest_readings_at(ids)
        window = TimeWindow(cycle_start - CYCLE * (96 * days), cycle_start)
        block = self._telemetry.interval_series_of(ids, window, STEP_S)
        for row, site in enumerate(sites):
            newest_at = newest.get(site.facility_id)
            if newest_at is None:
                yield (
                    site,
                    NoTelemetry(
                        f"nothing was ever metered at {site.facility_id}; import history, or connect its meters"
                    ),
                )
            else:
                yield site, _site_inputs(site, block, row, newest_at, weather.get(site.weather_cell))

    def _issue(self, command: IssueForecast, report: CycleReport, actor: str) -> None:
        facility_id = command.facility_id
        try:
            issue: Issue = self._bus.handle(command, _context(command, actor))
        except ForecastConflict as error:
            report.conflicts.append(facility_id)
            _log.info("forecast refused", facility=facility_id, error=str(error))
        except DomainError as error:
            report.refused[facility_id] = str(error)
        else:
            getattr(report, issue.outcome).append(facility_id)
            if issue.data_quality != "full":
                report.degraded[facility_id] = issue.data_quality

    async def _alert(self, report: CycleReport) -> None:
        wrong = {("weather_unavailable", cell): why for cell, why in report.weather.items() if why}
        right = {("weather_unavailable", cell) for cell in report.weather}
        self._tries.append((len(report.has_forecast()) + len(report.conflicts), len(report.conflicts)))
        total, refused = (sum(column) for column in zip(*self._tries, strict=True))
        conflicts = ("forecast_conflicts", "forecasts")
        if refused > CONFLICT_SHARE * total:
            wrong[conflicts] = f"{refused} of {total} forecasts were refused"
        await self._alerts.tell(wrong=wrong, right={*right, conflicts}, at=self._clock.now())


def _context(command: IssueForecast, actor: str) -> CommandContext:
    """A cycle is one story; its ids follow from its start, so that a repeat tells the same one."""
    correlation = uuid5(NAMESPACE, f"forecast-cycle:{command.cycle_start.isoformat()}")
    return CommandContext(
        correlation_id=correlation,
        causation_id=uuid5(correlation, command.facility_id),
        actor=actor,
        tenant=None,
        trace_id=correlation.hex,
    )


def _why(error: Exception) -> str:
    _log.warning("no forecast", reason=str(error), kind=type(error).__name__)
    return f"{type(error).__name__}: {error}"


def _site_inputs(
    site: ForecastSite, block: IntervalBlock, row: int, newest_at: datetime, weather: CellWeather | None
) -> SiteInputs:
    report = weather.report if weather else None
    last_day: Any = block.coverage_pct[row, -(COVERAGE_OF // CYCLE) :]
    return SiteInputs(
        history=FacilityHistory(
            facility_id=site.facility_id,
            tz=site.tz,
            mean_kw=IntervalSeries(block.starts_at, block.step_s, block.mean_kw[row]),
            temp_c=with_past_weather(
                IntervalSeries(block.starts_at, block.step_s, block.temp_c[row]), report
            ),
        ),
        sensor_coverage_pct=float(last_day.mean()),
        newest_reading_at=newest_at,
        weather=report,
        weather_age_s=weather.age_s if weather else None,
    )
