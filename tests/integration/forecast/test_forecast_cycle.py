"""Forecast cycles on a real PostgreSQL: history in, forecasts out, quality stated, alerts raised and cleared."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import AcceleratedClock
from adapters.forecasting import BatchedLoadForecaster
from adapters.postgres.advisory_locks import AdvisoryLocks
from adapters.postgres.event_store import PostgresEventStore
from adapters.postgres.forecast_book import PostgresForecastBook
from adapters.postgres.telemetry_store import PostgresTelemetryStore
from application import model_shelf
from application.forecasting import ForecastSite
from application.forecasts import Forecasts
from application.issuing import ForecastIssuing, Standing
from application.model_shelf import ModelShelf
from application.ports.clock import Clock
from application.ports.event_store import EventStoreUnavailable
from application.ports.load_forecaster import TrainedModel
from application.ports.operations import OperationsUnavailable
from application.ports.telemetry_store import ImportedIntervals
from domain.forecast import Forecast
from interfaces.simulation.locks import LockBoard
from interfaces.workers import forecast as forecast_worker
from interfaces.workers.cycle_report import CycleReport
from interfaces.workers.forecast_cycle import ForecastCycle
from tests.fakes.alerts import FakeAlertRegistry
from tests.fakes.forecast_models import FakeForecastModels
from tests.fakes.locks import FakeLocks
from tests.fakes.weather import FakeWeatherSource
from tests.servers import Database, PostgresServer

NOW = datetime(2026, 7, 14, 20, 0, 30, tzinfo=UTC)
CYCLE_START = NOW.replace(second=0)
QUARTER_S = 900
SITES = [
    ForecastSite(facility_id=f"fac-{number:03}", tz="America/Los_Angeles", weather_cell="cell-1")
    for number in range(1, 4)
]


class SettableClock:
    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / 3_600


@dataclass
class House:
    """A cycle with real stores, and a weather source and a register of alerts in memory."""

    telemetry: PostgresTelemetryStore
    events: PostgresEventStore
    book: PostgresForecastBook
    stopped: SettableClock
    clock: Clock
    sites: list[ForecastSite] = field(default_factory=lambda: list(SITES))
    locks: LockBoard = field(default_factory=LockBoard)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    weather: FakeWeatherSource = field(
        default_factory=lambda: FakeWeatherSource(issued_at=CYCLE_START, temp_c=24.0)
    )

    def cycle(
        self, issuing: ForecastIssuing | None = None, models: ModelShelf | None = None
    ) -> ForecastCycle:
        return ForecastCycle(
            facilities=lambda: self.sites,
            telemetry=self.telemetry,
            weather=self.weather,
            forecaster=BatchedLoadForecaster(),
            issuing=issuing or ForecastIssuing(self.events, self.clock),
            alerts=self.alerts,
            clock=self.clock,
            models=models,
        )

    def run(self, cycle: ForecastCycle | None = None) -> CycleReport:
        return asyncio.run((cycle or self.cycle()).run(at=self.clock.now()))

    def remember(
        self,
        facility_ids: Sequence[str],
        days: float,
        *,
        until: datetime = CYCLE_START,
        kw: float = 100.0,
        warm: bool = True,
    ) -> None:
        """Import a history: twice the load by day, and warmer afternoons."""
        count = int(days * 96)
        first_s = int(until.timestamp()) - count * QUARTER_S
        starts_s = first_s + QUARTER_S * np.arange(count)
        hour = (starts_s / 3600) % 24
        temp_c = 20 + 6 * np.sin((hour - 15) * np.pi / 12) + 2 * np.sin(starts_s / 400_000)
        load = kw * (1 + ((hour >= 15) & (hour < 24))) + np.clip(temp_c - 20, 0, None)
        times = len(facility_ids)
        self.telemetry.import_intervals(
            ImportedIntervals(
                tuple(facility_ids),
                np.repeat(np.arange(times), count),
                np.tile(starts_s, times),
                np.full(times * count, QUARTER_S),
                np.tile(load, times),
                np.tile(temp_c if warm else np.full(count, np.nan), times),
            )
        )

    def open_alerts(self) -> set[tuple[str, str]]:
        return {(alert.name, alert.subject) for alert in self.alerts.listed()}


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    clock = SettableClock()
    store = PostgresEventStore(Forecasts, database.app_dsn)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=4, open=True) as pool:
        telemetry = PostgresTelemetryStore(pool, clock)
        yield House(telemetry, store, PostgresForecastBook(pool), clock, clock)
    store.close()


ALL = [site.facility_id for site in SITES]


def test_every_facility_with_history_gets_a_full_forecast_of_the_day_ahead(house: House) -> None:
    house.remember(ALL, 42)
    report = house.run()
    assert report.issued == ALL
    assert (report.degraded, report.refused, report.conflicts) == ({}, {}, [])
    forecasts = house.book.newest_of(ALL, at=NOW)
    for facility_id in ALL:
        found = forecasts[facility_id]
        assert (found.data_quality, found.cycle_start) == ("full", CYCLE_START)
        assert found.steps[-1].ends_at == CYCLE_START + timedelta(hours=24)
        evening = [step.p50_kw for step in found.steps if 15 <= step.starts_at.hour < 24]
        night = [step.p50_kw for step in found.steps if step.starts_at.hour < 14]
        assert np.mean(evening) == pytest.approx(200, abs=15)
        assert np.mean(night) == pytest.approx(100, abs=15)
    assert house.open_alerts() == set()


def test_a_forecast_states_its_whole_origin(house: House) -> None:
    house.remember(ALL[:1], 42)
    house.sites = SITES[:1]
    house.run()
    (entry,) = house.events.read_after(0, 10)
    fact = entry.domain_event
    assert isinstance(fact, Forecast.Issued)
    assert entry.topic == "forecast.issued.v2"
    assert (fact.actor, fact.tenant) == ("worker:forecast", None)
    assert fact.inputs.newest_reading_at == CYCLE_START
    assert (fact.inputs.sensor_coverage_pct, fact.inputs.weather_age_s) == (100.0, 30.0)
    assert (fact.model.name, fact.model.trained_at) == ("time-of-week-and-temperature", CYCLE_START)
    assert len(fact.inputs.input_hash) == 64


def test_without_any_telemetry_no_forecast_is_issued(house: House) -> None:
    house.remember(ALL[:2], 42)
    report = house.run()
    assert report.issued == ALL[:2]
    assert "nothing was ever metered at fac-003" in report.refused["fac-003"]
    assert house.book.newest("fac-003", at=NOW) is None
    assert house.open_alerts() == set()


def test_less_than_a_day_of_history_is_refused_with_what_there_is(house: House) -> None:
    house.remember(ALL, 42)
    house.sites = [ForecastSite(facility_id="new", tz="UTC", weather_cell="cell-1"), *SITES]
    house.remember(["new"], 0.5)
    report = house.run()
    assert "12 hours of load are known of new" in report.refused["new"]
    assert report.issued == ALL


def test_who_cannot_be_trained_is_not_tried_in_every_cycle_and_the_reason_is_told_in_each(
    house: House,
) -> None:
    house.remember(ALL[:1], 0.5)
    cycle = house.cycle()
    first = house.run(cycle)
    assert "12 hours of load are known of fac-001" in first.refused["fac-001"]
    house.remember(ALL[:1], 2)
    for minutes in (15, 45):
        house.stopped.at = NOW + timedelta(minutes=minutes)
        again = house.run(cycle)
        assert (set(again.refused), again.waiting) == (set(ALL), [])
        assert f"{first.refused['fac-001']} (as of {CYCLE_START.isoformat()}" in again.refused["fac-001"]
        assert again.refused["fac-003"] == first.refused["fac-003"]
    house.stopped.at = NOW + timedelta(hours=1)
    assert house.run(cycle).issued == ALL[:1]


def test_one_facility_that_cannot_be_computed_keeps_nobody_from_a_forecast(house: House) -> None:
    house.remember(ALL, 2)
    house.sites = [ForecastSite(facility_id="fac-001", tz="Mars/Olympus", weather_cell="cell-1"), *SITES[1:]]
    report = house.run()
    assert report.issued == ALL[1:]
    assert "Mars/Olympus" in report.refused["fac-001"]


def test_the_same_cycle_again_issues_nothing(house: House) -> None:
    house.remember(ALL, 42)
    house.run()
    again = house.run()
    assert (again.issued, again.reissued, again.already_full) == ([], [], ALL)
    assert len(house.events.read_after(0, 100)) == 3


def test_weather_that_comes_back_gives_a_better_forecast_for_the_same_cycle(house: House) -> None:
    house.remember(ALL, 42)
    house.weather.available = False
    cycle = house.cycle()
    first = house.run(cycle)
    assert set(first.degraded.values()) == {"degraded_no_weather"}
    assert house.open_alerts() == {("weather_unavailable", "cell-1")}
    unchanged = house.run(cycle)
    assert (unchanged.unchanged, unchanged.conflicts) == (ALL, [])
    house.weather.available = True
    second = house.run(cycle)
    assert (second.reissued, second.degraded) == (ALL, {})
    assert house.open_alerts() == set()


def test_other_inputs_of_no_better_quality_are_refused_counted_and_alerted(house: House) -> None:
    house.remember(ALL, 42)
    house.weather.available = False
    cycle = house.cycle()
    house.run(cycle)
    house.remember(ALL[:1], 1, kw=140.0)
    report = house.run(cycle)
    assert report.conflicts == ["fac-001"]
    assert report.unchanged == ALL[1:]
    assert ("forecast_conflicts", "forecasts") in house.open_alerts()


def test_a_cycle_that_is_made_again_with_models_trained_since_is_no_conflict(house: House) -> None:
    """As by a scheduler that starts again after models were trained for the next cycle."""
    house.remember(ALL, 8)
    kept = FakeForecastModels()
    house.weather.available = False
    older = house.cycle(models=ModelShelf(kept))
    house.stopped.at = NOW - timedelta(minutes=15)
    house.run(older)
    house.stopped.at = NOW
    assert house.run(older).issued == ALL
    again = house.run(house.cycle())
    assert (again.kept, again.conflicts, set(again.degraded)) == (ALL, [], set(ALL))
    assert house.open_alerts() == {("weather_unavailable", "cell-1")}


def test_a_restart_in_mid_cycle_while_there_is_no_weather_is_no_conflict(house: House) -> None:
    """It knows the weather no more that its predecessor remembered, and readings have come since."""
    house.remember(ALL, 8)
    house.weather.issued_at = CYCLE_START - timedelta(hours=4)
    assert set(house.run().degraded.values()) == {"degraded_stale_weather"}
    house.weather.available = False
    worse = house.cycle()
    again = house.run(worse)
    assert (again.kept, again.conflicts) == (ALL, [])
    assert again.degraded == dict.fromkeys(ALL, "degraded_stale_weather")
    house.remember(ALL[:1], 1, kw=140.0)
    third = house.run(worse)
    assert (third.kept, third.conflicts) == (ALL, [])
    house.weather.available = True
    as_good = house.run(house.cycle())
    assert (as_good.kept, as_good.unchanged, as_good.conflicts) == (ALL[:1], ALL[1:], [])
    assert house.open_alerts() == {("weather_unavailable", "cell-1")}
    assert len(house.events.read_after(0, 100)) == 3


def test_who_has_made_no_whole_cycle_of_its_own_neither_raises_nor_clears_conflicts(house: House) -> None:
    """As `gridproof forecast run`, and a rival that starts again and again."""
    house.remember(ALL, 2)
    house.alerts.raise_alert("forecast_conflicts", "forecasts", "3 of 96 forecasts were refused", at=NOW)
    cycle = house.cycle()
    house.run(cycle)
    house.stopped.at += timedelta(minutes=15)
    asyncio.run(cycle.run(at=house.stopped.at, only=ALL[:1]))
    assert ("forecast_conflicts", "forecasts") in house.open_alerts()
    cycle.take_over(house.stopped.at.replace(second=0))
    house.run(cycle)
    assert ("forecast_conflicts", "forecasts") in house.open_alerts()
    house.stopped.at += timedelta(minutes=15)
    house.run(cycle)
    assert house.open_alerts() == set()


def reports_of_the_worker(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    models: ModelShelf,
    *,
    count: int,
    disturbed: Callable[[], None],
    issuing: ForecastIssuing | None = None,
) -> list[CycleReport]:
    """So many cycles as the worker tells of them, at this one moment; `disturbed` is called after each."""
    found: list[CycleReport] = []
    stop = asyncio.Event()

    def told(report: CycleReport) -> None:
        found.append(report)
        disturbed()
        if len(found) == count:
            stop.set()

    monkeypatch.setattr(forecast_worker, "RETRY_WALL_S", 0.0)
    monkeypatch.setattr(forecast_worker, "tell", told)
    cycle = house.cycle(issuing, models)

    async def story() -> None:
        locks = FakeLocks(house.locks)
        await asyncio.wait_for(
            forecast_worker.run(cycle=cycle, clock=house.clock, locks=locks, stop=stop), 60
        )

    asyncio.run(story())
    return found


def test_a_cycle_that_is_tried_again_with_models_that_could_not_be_kept_is_no_conflict(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its forecasts are out and models are trained for the next one, when the operations' tables go away."""
    house.remember(ALL, 2)
    house.weather.available = False
    cycles: list[list[str]] = []

    class AwayOnce(FakeForecastModels):
        def keep(self, models: Mapping[str, TrainedModel]) -> None:
            if len(cycles) == 1:
                cycles.append([])
                raise OperationsUnavailable("away")
            super().keep(models)

    models = ModelShelf(AwayOnce())
    house.stopped.at = NOW - timedelta(hours=6)
    house.run(house.cycle(models=models))
    house.stopped.at = NOW
    cycles.append(ALL)
    (again,) = reports_of_the_worker(house, monkeypatch, models, count=1, disturbed=lambda: None)
    assert len(cycles) == 2
    assert (again.kept, again.conflicts, again.cycle_start) == (ALL, [], CYCLE_START)
    assert ("forecast_conflicts", "forecasts") not in house.open_alerts()


def test_a_rivals_forecasts_of_the_cycle_after_one_that_was_broken_off_are_conflicts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.remember(ALL, 2)
    house.weather.available = False

    class AwayUntilTheNextCycle(ForecastIssuing):
        was_away = False

        def standing(self, stream_ids: Sequence[UUID]) -> Standing:
            if not self.was_away:
                self.was_away = True
                house.stopped.at += timedelta(minutes=15)
                assert house.run().issued == ALL  # the rival's
                house.remember(ALL[:1], 1, kw=140.0)
                raise EventStoreUnavailable("away")
            return super().standing(stream_ids)

    (report,) = reports_of_the_worker(
        house,
        monkeypatch,
        ModelShelf(),
        count=1,
        disturbed=lambda: None,
        issuing=AwayUntilTheNextCycle(house.events, house.clock),
    )
    assert report.cycle_start == CYCLE_START + timedelta(minutes=15)
    assert (report.conflicts, report.unchanged, report.kept) == (ALL[:1], ALL[1:], [])
    assert ("forecast_conflicts", "forecasts") in house.open_alerts()


def test_a_worker_that_takes_its_lock_again_in_the_same_quarter_hour_makes_no_conflict_of_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a fail-over of PostgreSQL: the same process goes on, readings have come since."""
    house.remember(ALL, 2)
    house.weather.available = False

    def lose_the_lock() -> None:
        house.remember(ALL[:1], 1, kw=140.0)
        house.locks.free_all()

    first, again = reports_of_the_worker(house, monkeypatch, ModelShelf(), count=2, disturbed=lose_the_lock)
    assert (first.issued, first.cycle_start) == (ALL, again.cycle_start)
    assert (again.kept, again.unchanged, again.conflicts) == (ALL[:1], ALL[1:], [])
    assert ("forecast_conflicts", "forecasts") not in house.open_alerts()


def test_the_last_good_weather_serves_on_and_goes_stale(house: House) -> None:
    house.remember(ALL, 42)
    cycle = house.cycle()
    house.run(cycle)
    house.weather.available = False
    house.stopped.at = NOW + timedelta(hours=4)
    house.remember(ALL, 1, until=CYCLE_START + timedelta(hours=4))
    report = house.run(cycle)
    assert set(report.degraded.values()) == {"degraded_stale_weather"}
    assert ("weather_unavailable", "cell-1") in house.open_alerts()


def test_readings_that_stopped_give_a_forecast_on_stale_data(house: House) -> None:
    house.remember(ALL, 42, until=CYCLE_START - timedelta(minutes=45))
    assert set(house.run().degraded.values()) == {"degraded_stale_data"}


def test_gaps_of_the_last_day_give_a_forecast_on_stale_data(house: House) -> None:
    house.remember(ALL, 41, until=CYCLE_START - timedelta(days=1))
    house.remember(ALL, 0.25)
    assert set(house.run().degraded.values()) == {"degraded_stale_data"}


def test_a_scheduler_that_starts_again_goes_on_with_the_models_that_were_kept(house: House) -> None:
    house.remember(ALL, 42)
    kept = FakeForecastModels()
    house.run(house.cycle(models=ModelShelf(kept)))
    house.stopped.at = NOW + timedelta(minutes=15)
    report = house.run(house.cycle(models=ModelShelf(kept)))
    assert report.issued == ALL
    newest = house.events.read_after(0, 100)[-1].domain_event
    assert isinstance(newest, Forecast.Issued)
    assert (newest.cycle_start, newest.model.trained_at) == (house.stopped.at.replace(second=0), CYCLE_START)


def test_who_waited_for_a_model_is_trained_in_what_is_left_of_the_quarter_hour(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ten thousand facilities do at the first start, and after an upgrade that reads no older models."""
    monkeypatch.setattr(model_shelf, "NEW_AT_ONCE", 1)
    house.remember(ALL, 8)
    cycle = house.cycle()
    first = house.run(cycle)
    assert (first.issued, first.waiting) == (ALL[:1], ALL[1:])
    asyncio.run(cycle.train_waiting(first, lambda: False))
    house.stopped.at += timedelta(minutes=15)
    second = house.run(cycle)
    assert (second.issued, second.waiting) == (ALL[:2], ALL[2:])
    asyncio.run(cycle.train_waiting(second, lambda: True))
    assert house.run(cycle).issued == ALL[2:]


def test_two_schedulers_never_issue_the_same_cycle_twice(house: House) -> None:
    house.sites = [
        ForecastSite(facility_id=f"fac-{number:03}", tz="UTC", weather_cell="cell-1") for number in range(12)
    ]
    ids = [site.facility_id for site in house.sites]
    house.remember(ids, 2)
    reports: list[CycleReport] = []
    # Both have looked at what stands before either saves.
    both = threading.Barrier(2)

    class Waiting(ForecastIssuing):
        def standing(self, stream_ids: Sequence[UUID]) -> Standing:
            found = super().standing(stream_ids)
            if not found:
                both.wait(20)
            return found

    def schedule() -> None:
        cycle = house.cycle(Waiting(house.events, house.clock))
        reports.append(house.run(cycle))

    threads = [threading.Thread(target=schedule) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(reports[0].issued + reports[1].issued) == ids
    assert sorted(reports[0].unchanged + reports[1].unchanged) == ids
    assert len(house.events.read_after(0, 1_000)) == 12


def test_only_the_facilities_asked_for_are_forecast(house: House) -> None:
    house.remember(ALL, 42)
    report = asyncio.run(house.cycle().run(at=NOW, only={"fac-002"}))
    assert report.issued == ["fac-002"]


def test_the_worker_runs_a_cycle_at_once_and_one_in_every_quarter_hour(
    house: House, database: Database
) -> None:
    house.remember(ALL, 42)
    # A quarter-hour of this clock is half a second.
    house.clock = AcceleratedClock(epoch=NOW, started_at=datetime.now(UTC), speed=1_800)
    stop = asyncio.Event()

    def cycles() -> list[datetime]:
        facts = [entry.domain_event for entry in house.events.read_after(0, 1_000)]
        return sorted({fact.cycle_start for fact in facts if isinstance(fact, Forecast.Issued)})

    async def watch() -> None:
        await asyncio.to_thread(_wait_until, lambda: len(cycles()) >= 3)
        stop.set()

    async def story() -> None:
        async with aclosing(AdvisoryLocks(database.app_dsn)) as locks:
            worker = forecast_worker.run(cycle=house.cycle(), clock=house.clock, locks=locks, stop=stop)
            await asyncio.wait_for(asyncio.gather(worker, watch()), 60)

    asyncio.run(story())
    found = cycles()
    assert found[0] == CYCLE_START
    assert all(start.minute % 15 == 0 for start in found)


def test_the_worker_waits_for_a_database_that_is_away(
    house: House, database: Database, postgres_server: PostgresServer
) -> None:
    house.remember(ALL, 42)
    stop = asyncio.Event()

    async def trouble() -> None:
        await asyncio.to_thread(postgres_server.start)
        await asyncio.to_thread(_wait_until, lambda: _head(house) > 0)
        stop.set()

    async def story() -> None:
        async with aclosing(AdvisoryLocks(database.app_dsn)) as locks:
            worker = forecast_worker.run(cycle=house.cycle(), clock=house.clock, locks=locks, stop=stop)
            await asyncio.wait_for(asyncio.gather(worker, trouble()), 60)

    postgres_server.kill()
    asyncio.run(story())
    assert set(house.book.newest_of(ALL, at=NOW)) == set(ALL)


def _head(house: House) -> int:
    try:
        return house.events.head()
    except EventStoreUnavailable:
        return 0


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 50
    while not reached():
        assert time.monotonic() < deadline, "waited for nothing"
        time.sleep(0.05)
