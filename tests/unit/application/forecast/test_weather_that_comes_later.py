"""A facility that gets weather, or temperatures of its past, after its model was trained is trained again at once."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from adapters.forecasting import BatchedLoadForecaster
from application.forecast.cycle import ForecastCycle
from application.forecast.cycle_report import CycleReport
from application.forecast.forecast_commands import ForecastSite
from application.forecast.issue import ForecastIssuing
from application.forecast.model_registry import ModelRegistry
from application.ports.forecast.load_forecaster import FacilityHistory
from application.ports.telemetry.store import ImportedIntervals
from application.ports.weather.source import WeatherReport, WeatherUnavailable
from application.weather.cached_source import CachedWeatherSource
from application.weather.requirements import PAST_WEATHER
from domain.time_series.windows import IntervalSeries
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.models import FakeForecastModels
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.fakes.weather.temperatures import FakeCellTemperatures

NOW = datetime(2026, 7, 14, 20, 0, 30, tzinfo=UTC)
HOUR, DAY, CYCLE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=15)
FACILITY, CELL = "fac-001", "cell-1"


def temperature_c(at: datetime) -> float:
    return float(20 + 6 * np.sin((at.hour - 15) * np.pi / 12) + at.day % 5)


class ContractedWeather:
    """A weather service that covers `past` before now, for located cells only."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.past, self.is_located = clock, PAST_WEATHER, True
        self.asked: list[datetime] = []

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        if not self.is_located:
            raise WeatherUnavailable(f"no facility in the weather cell {cell} has coordinates")
        self.asked.append(starts_at)
        hours = [starts_at + HOUR * n for n in range((ends_at - starts_at) // HOUR)]
        known = [temperature_c(at) if at >= self.clock.moment - self.past else None for at in hours]
        series = IntervalSeries.of(starts_at, 3600, known)
        return WeatherReport(cell=cell, issued_at=self.clock.moment, temp_c=series)


class System:
    """Its stores outlive the processes that run cycles."""

    def __init__(self) -> None:
        self.clock, self.telemetry = FakeClock(NOW), FakeTelemetryStore()
        self.service, self.has_service = ContractedWeather(self.clock), True
        self.models, self.temperatures = FakeForecastModels(), FakeCellTemperatures()
        self.store, self.alerts = FakeEventStore(), FakeAlertRegistry()

    def process(self) -> ForecastCycle:
        source = CachedWeatherSource(self.service, self.clock, None, self.temperatures)
        return ForecastCycle(
            facilities=lambda: [ForecastSite(facility_id=FACILITY, tz="UTC", weather_cell=CELL)],
            telemetry=self.telemetry,
            weather=source if self.has_service else None,
            forecaster=BatchedLoadForecaster(),
            issuing=ForecastIssuing(self.store, self.clock),
            alerts=self.alerts,
            clock=self.clock,
            models=ModelRegistry(self.models),
        )

    def import_history(self, *, with_temperatures: bool, days: int = 50) -> None:
        """Up to the next cycle."""
        last = NOW.replace(second=0) + CYCLE * 8
        starts = [last - CYCLE * n for n in range(days * 96, 0, -1)]
        warm = np.array([temperature_c(at) for at in starts])
        self.telemetry.import_intervals(
            ImportedIntervals(
                (FACILITY,),
                np.zeros(len(starts), dtype=np.int64),
                np.array([int(at.timestamp()) for at in starts]),
                np.full(len(starts), 900),
                100.0 + 3 * np.clip(warm - 20, 0, None),
                warm if with_temperatures else np.full(len(starts), np.nan),
            )
        )

    def run(self, process: ForecastCycle) -> CycleReport:
        return asyncio.run(process.run(at=self.clock.now()))

    def uses_weather(self) -> bool:
        return self.models.kept[FACILITY].uses_weather


@pytest.fixture
def system() -> System:
    return System()


def test_weather_that_is_switched_on_later_is_used_from_the_next_cycle_on(system: System) -> None:
    system.import_history(with_temperatures=False)
    system.has_service = False
    assert system.run(system.process()).degraded == {FACILITY: "degraded_no_weather"}
    assert not system.uses_weather()
    system.has_service = True
    system.clock.advance(minutes=15)
    assert system.run(system.process()).degraded == {}
    assert system.uses_weather()
    assert system.service.asked[0] <= NOW - PAST_WEATHER + HOUR


def test_a_cell_that_gets_coordinates_later_is_used_from_the_next_cycle_on(system: System) -> None:
    system.import_history(with_temperatures=False)
    system.service.is_located = False
    process = system.process()
    assert system.run(process).degraded == {FACILITY: "degraded_no_weather"}
    system.service.is_located = True
    system.clock.advance(minutes=15)
    assert system.run(process).degraded == {}
    assert system.uses_weather()


def test_a_history_imported_again_with_temperatures_is_learnt_from_in_the_next_cycle(system: System) -> None:
    system.service.past = 2 * DAY  # the contract covers no more
    system.import_history(with_temperatures=False)
    process = system.process()
    # No worse off than a facility with a history of a few days.
    assert system.run(process).degraded == {}
    assert not system.uses_weather()
    system.import_history(with_temperatures=True)
    system.clock.advance(minutes=15)
    system.run(process)
    assert system.uses_weather()
    trained_at = system.models.kept[FACILITY].trained_at
    system.clock.advance(minutes=15)
    system.run(process)
    assert system.models.kept[FACILITY].trained_at == trained_at


def test_training_on_request_serves_every_process_from_the_next_cycle_on(system: System) -> None:
    system.service.past = 2 * DAY
    system.import_history(with_temperatures=False)
    worker = system.process()
    system.run(worker)
    system.import_history(with_temperatures=True)
    done: list[int] = []
    report = asyncio.run(system.process().train(at=system.clock.now(), progress=done.append))
    assert (report.refused, report.weather, done) == ({}, {CELL: None}, [1])
    assert report.trained[FACILITY].uses_weather
    calls = len(system.service.asked)
    system.clock.advance(minutes=15)
    system.run(worker)
    (entry, *_) = reversed(system.store.read_after(0, 10))
    assert entry.domain_event.model.trained_at == NOW  # type: ignore[attr-defined]
    assert len(system.service.asked) == calls


def test_without_weather_nothing_is_examined_and_training_says_what_it_could_not_use(system: System) -> None:
    system.import_history(with_temperatures=False, days=20)
    system.has_service = False
    process = system.process()
    system.run(process)
    report = asyncio.run(process.train(at=system.clock.now()))
    assert not report.trained[FACILITY].uses_weather
    assert report.weather == {}


def test_a_history_that_cannot_use_the_weather_is_read_again_after_an_hour(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.service.past = 2 * DAY
    system.import_history(with_temperatures=False)
    process = system.process()
    examined = list[datetime]()
    can_use_weather = BatchedLoadForecaster.can_use_weather

    def counted(forecaster: BatchedLoadForecaster, history: FacilityHistory) -> bool:
        examined.append(system.clock.now())
        return can_use_weather(forecaster, history)

    monkeypatch.setattr(BatchedLoadForecaster, "can_use_weather", counted)
    for _ in range(8):
        system.run(process)
        system.clock.advance(minutes=15)
    assert examined == [NOW + CYCLE, NOW + 5 * CYCLE]
