"""One forecast cycle: what is known of every facility goes in, and forecasts are issued."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any
from uuid import UUID, uuid5

import msgspec
import structlog

from application.commands.forecast import IssueForecast
from application.deciding import CommandContext
from application.forecasting import (
    COVERAGE_OF,
    HORIZON,
    STEP_S,
    TRAINED_ON,
    ForecastSite,
    SiteInputs,
    forecast_commands,
    with_past_weather,
)
from application.issuing import ForecastIssuing, Standing
from application.model_shelf import ModelShelf
from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.load_forecaster import (
    RECENT_DAYS,
    FacilityHistory,
    LoadForecaster,
    TooLittleHistory,
    TrainedModel,
)
from application.ports.telemetry_store import TelemetryStore
from application.ports.weather import WeatherSource
from domain.errors import DomainError
from domain.forecast import CYCLE, ForecastConflict, NoTelemetry, cycle_start_of
from domain.identifiers import NAMESPACE, forecast_stream_id
from domain.interval_block import IntervalBlock
from domain.time_windows import IntervalSeries, TimeWindow
from interfaces.workers.forecast_alerts import ForecastAlerts
from interfaces.workers.weather_desk import CellWeather, WeatherDesk

_log = structlog.get_logger(__name__)
FACILITIES_AT_ONCE = 250
"""How many are read, forecast and recorded at a time."""
TRAINED_AT_ONCE = 64
"""How many facilities' whole histories are in memory at a time."""
PAST_WEATHER = timedelta(days=42)
"""How far back a weather source is asked for a facility whose model is trained."""
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
        issuing: ForecastIssuing,
        alerts: AlertRegistry,
        clock: Clock,
        models: ModelShelf | None = None,
    ) -> None:
        self._facilities = facilities
        self._telemetry = telemetry
        self._desk = WeatherDesk(weather, clock)
        self._forecaster = forecaster
        self._issuing = issuing
        self._alerts = ForecastAlerts(alerts)
        self._clock = clock
        self._models = models or ModelShelf()
        self._tries: deque[tuple[int, int]] = deque(maxlen=CONFLICT_CYCLES)

    async def run(
        self, *, at: datetime, only: Collection[str] | None = None, actor: str = "worker:forecast"
    ) -> CycleReport:
        """The cycle that `at` falls in, of all facilities or only those named.

        Raises TelemetryStoreUnavailable or EventStoreUnavailable; what was issued until then stays.
        """
        began = perf_counter()
        report = CycleReport(cycle_start=cycle_start_of(at))
        sites = [
            site
            for site in await asyncio.to_thread(self._facilities)
            if only is None or site.facility_id in only
        ]
        due = set(self._models.due([site.facility_id for site in sites], report.cycle_start))
        for start in range(0, len(sites), FACILITIES_AT_ONCE):
            await self._forecast(sites[start : start + FACILITIES_AT_ONCE], due, report, actor)
        await self._alert(report)
        report.seconds = round(perf_counter() - began, 3)
        return report

    async def _forecast(
        self, sites: Sequence[ForecastSite], due: set[str], report: CycleReport, actor: str
    ) -> None:
        at = report.cycle_start
        standing = await asyncio.to_thread(self._issuing.standing, _streams(sites, at))
        to_do = [site for site in sites if not _is_full(standing, site, at)]
        report.already_full += [site.facility_id for site in sites if _is_full(standing, site, at)]
        new = [site for site in to_do if site.facility_id in due]
        new_cells = {site.weather_cell for site in new}
        old_cells = {site.weather_cell for site in to_do} - new_cells
        back = CYCLE * (RECENT_DAYS * 96)
        weather = await self._desk.ask(new_cells, at - PAST_WEATHER, at + HORIZON)
        weather |= await self._desk.ask(old_cells, at - back, at + HORIZON)
        report.weather |= {
            cell: None if found.is_usable else found.problem for cell, found in weather.items()
        }
        for start in range(0, len(new), TRAINED_AT_ONCE):
            await asyncio.to_thread(self._train, new[start : start + TRAINED_AT_ONCE], weather, report)
        await asyncio.to_thread(self._issue_all, to_do, weather, report, actor, standing)

    def _train(
        self, sites: Sequence[ForecastSite], weather: Mapping[str, CellWeather], report: CycleReport
    ) -> None:
        known = [
            inputs.history
            for _, inputs in self._inputs(sites, weather, report.cycle_start, days=TRAINED_ON.days)
            if isinstance(inputs, SiteInputs)
        ]
        models = self._forecaster.train_many(known, at=report.cycle_start)
        for history, model in zip(known, models, strict=True):
            if isinstance(model, TooLittleHistory):
                report.refused[history.facility_id] = _why(model)
            else:
                self._models.put(history.facility_id, model)
                for note in model.notes:
                    _log.warning("history left out", facility=history.facility_id, note=note)

    def _issue_all(
        self,
        sites: Sequence[ForecastSite],
        weather: Mapping[str, CellWeather],
        report: CycleReport,
        actor: str,
        standing: Standing,
    ) -> None:
        known: list[SiteInputs] = []
        models: list[TrainedModel] = []
        for site, inputs in self._inputs(
            sites, weather, report.cycle_start, days=self._days_to_read(sites, report.cycle_start)
        ):
            model = self._models.get(site.facility_id)
            if isinstance(inputs, NoTelemetry):
                report.refused[site.facility_id] = str(inputs)
            elif model is None:
                report.refused.setdefault(site.facility_id, "its model waits its turn to be trained")
            else:
                known.append(inputs)
                models.append(model)
        if not known:
            return
        commands = forecast_commands(known, models, report.cycle_start, self._forecaster)
        self._issue(commands, report, actor, standing)

    def _days_to_read(self, sites: Sequence[ForecastSite], at: datetime) -> int:
        """So many that nothing is missed since the models' histories ended; a day for the coverage at least."""
        models = [self._models.get(site.facility_id) for site in sites]
        ends = [model.known_until for model in models if model and model.known_until]
        return min(max([1, *(-(-(at - end) // timedelta(days=1)) for end in ends)]), RECENT_DAYS)

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

    def _issue(
        self, commands: Sequence[IssueForecast], report: CycleReport, actor: str, standing: Standing
    ) -> None:
        outcomes = self._issuing.issue([(one, _context(one, actor)) for one in commands], standing)
        for command, outcome in zip(commands, outcomes, strict=True):
            facility_id = command.facility_id
            if isinstance(outcome, ForecastConflict):
                report.conflicts.append(facility_id)
                _log.info("forecast refused", facility=facility_id, error=str(outcome))
            elif isinstance(outcome, DomainError):
                report.refused[facility_id] = str(outcome)
            else:
                getattr(report, outcome.outcome).append(facility_id)
                if outcome.data_quality != "full":
                    report.degraded[facility_id] = outcome.data_quality

    async def _alert(self, report: CycleReport) -> None:
        wrong = {("weather_unavailable", cell): why for cell, why in report.weather.items() if why}
        right = {("weather_unavailable", cell) for cell in report.weather}
        self._tries.append((len(report.has_forecast()) + len(report.conflicts), len(report.conflicts)))
        total, refused = (sum(column) for column in zip(*self._tries, strict=True))
        conflicts = ("forecast_conflicts", "forecasts")
        if refused > CONFLICT_SHARE * total:
            wrong[conflicts] = f"{refused} of {total} forecasts were refused"
        await self._alerts.tell(wrong=wrong, right={*right, conflicts}, at=self._clock.now())


def _streams(sites: Sequence[ForecastSite], cycle_start: datetime) -> list[UUID]:
    return [forecast_stream_id(site.facility_id, cycle_start) for site in sites]


def _is_full(standing: Standing, site: ForecastSite, cycle_start: datetime) -> bool:
    """Whether it has a forecast for that cycle that none could be better than."""
    known = standing.get(forecast_stream_id(site.facility_id, cycle_start))
    return known is not None and known.state.data_quality == "full"


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
            region=site.region,
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
