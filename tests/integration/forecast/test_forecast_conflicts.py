"""Which repeated cycles of the same worker, its successor or a rival are conflicts."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from application.forecast.cycle_alerts import ForecastAlerts
from application.forecast.cycle_report import CycleReport
from application.forecast.forecast_commands import ForecastSite
from application.forecast.issue import ForecastIssuing, RecordedForecasts
from application.forecast.model_registry import ModelRegistry
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.load_forecaster import TrainedModel
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.workers.compute import forecast as forecast_worker
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.forecast.models import FakeForecastModels
from tests.integration.forecast.forecast_setup import ALL, CYCLE_START, NOW, ForecastSetup
from tests.patience import ANSWER_S, END_S


def test_a_repeated_cycle_issues_nothing(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL, 42)
    forecast_setup.run()
    again = forecast_setup.run()
    assert (again.issued, again.reissued, again.already_full) == ([], [], ALL)
    assert len(forecast_setup.events.read_after(0, 100)) == 3


def test_restored_weather_gives_a_better_forecast_for_the_same_cycle(
    forecast_setup: ForecastSetup,
) -> None:
    forecast_setup.import_history(ALL, 42)
    forecast_setup.weather.available = False
    cycle = forecast_setup.cycle()
    first = forecast_setup.run(cycle)
    assert set(first.degraded.values()) == {"degraded_no_weather"}
    assert forecast_setup.open_alerts() == {("weather_unavailable", "cell-1")}
    unchanged = forecast_setup.run(cycle)
    assert (unchanged.unchanged, unchanged.conflicts) == (ALL, [])
    forecast_setup.weather.available = True
    second = forecast_setup.run(cycle)
    assert (second.reissued, second.degraded) == (ALL, {})
    assert forecast_setup.open_alerts() == set()


def test_different_inputs_of_no_better_quality_are_refused_counted_and_alerted(
    forecast_setup: ForecastSetup,
) -> None:
    forecast_setup.import_history(ALL, 42)
    forecast_setup.weather.available = False
    cycle = forecast_setup.cycle()
    forecast_setup.run(cycle)
    forecast_setup.import_history(ALL[:1], 1, kw=140.0)
    report = forecast_setup.run(cycle)
    assert report.conflicts == ["fac-001"]
    assert "fac-001" in report.has_forecast()
    assert report.unchanged == ALL[1:]
    assert ("forecast_conflicts", "forecasts") in forecast_setup.open_alerts()


def test_a_cycle_repeated_with_newer_models_is_no_conflict(
    forecast_setup: ForecastSetup,
) -> None:
    """A scheduler restarts after it has trained models for the next cycle."""
    forecast_setup.import_history(ALL, 8)
    kept = FakeForecastModels()
    forecast_setup.weather.available = False
    older = forecast_setup.cycle(models=ModelRegistry(kept))
    forecast_setup.stopped.moment = NOW - timedelta(minutes=15)
    forecast_setup.run(older)
    forecast_setup.stopped.moment = NOW
    assert forecast_setup.run(older).issued == ALL
    again = forecast_setup.run(forecast_setup.cycle())
    assert (again.kept, again.conflicts, set(again.degraded)) == (ALL, [], set(ALL))
    assert forecast_setup.open_alerts() == {("weather_unavailable", "cell-1")}


def test_a_restart_in_mid_cycle_without_weather_is_no_conflict(
    forecast_setup: ForecastSetup,
) -> None:
    """The restarted worker does not have the cached weather of its predecessor, and new readings have arrived."""
    forecast_setup.import_history(ALL, 8)
    forecast_setup.weather.issued_at = CYCLE_START - timedelta(hours=4)
    assert set(forecast_setup.run().degraded.values()) == {"degraded_stale_weather"}
    forecast_setup.weather.available = False
    worse = forecast_setup.cycle()
    again = forecast_setup.run(worse)
    assert (again.kept, again.conflicts) == (ALL, [])
    assert again.degraded == dict.fromkeys(ALL, "degraded_stale_weather")
    forecast_setup.import_history(ALL[:1], 1, kw=140.0)
    third = forecast_setup.run(worse)
    assert (third.kept, third.conflicts) == (ALL, [])
    forecast_setup.weather.available = True
    as_good = forecast_setup.run(forecast_setup.cycle())
    assert (as_good.kept, as_good.unchanged, as_good.conflicts) == (ALL[:1], ALL[1:], [])
    assert forecast_setup.open_alerts() == {("weather_unavailable", "cell-1")}
    assert len(forecast_setup.events.read_after(0, 100)) == 3


def test_a_process_without_a_full_cycle_neither_raises_nor_clears_conflicts(
    forecast_setup: ForecastSetup,
) -> None:
    """Such processes are `gridproof forecast run` and a rival that restarts repeatedly."""
    forecast_setup.import_history(ALL, 2)
    cycle = forecast_setup.cycle()
    earlier = ForecastAlerts(forecast_setup.alerts, forecast_setup.stopped)
    asyncio.run(earlier.state("forecast_conflicts", {"forecasts": "3 of 96 forecasts were refused"}))
    forecast_setup.run(cycle)
    forecast_setup.stopped.moment += timedelta(minutes=15)
    asyncio.run(cycle.run(at=forecast_setup.stopped.moment, only=ALL[:1]))
    assert ("forecast_conflicts", "forecasts") in forecast_setup.open_alerts()
    cycle.take_over(forecast_setup.stopped.moment.replace(second=0))
    forecast_setup.run(cycle)
    assert ("forecast_conflicts", "forecasts") in forecast_setup.open_alerts()
    forecast_setup.stopped.moment += timedelta(minutes=15)
    forecast_setup.run(cycle)
    assert forecast_setup.open_alerts() == set()


def reports_of_the_worker(
    forecast_setup: ForecastSetup,
    monkeypatch: pytest.MonkeyPatch,
    models: ModelRegistry,
    *,
    count: int,
    disturbed: Callable[[], None],
    issuing: ForecastIssuing | None = None,
) -> list[CycleReport]:
    """The reports of `count` cycles of the worker at one moment. `disturbed` is called after each cycle."""
    found: list[CycleReport] = []
    stop = asyncio.Event()

    def note_report(report: CycleReport) -> None:
        found.append(report)
        disturbed()
        if len(found) == count:
            stop.set()

    monkeypatch.setattr(forecast_worker, "RETRY_WALL_S", 0.0)
    monkeypatch.setattr(forecast_worker, "log_report", note_report)
    cycle = forecast_setup.cycle(issuing, models)

    async def scenario() -> None:
        locks = FakeLocks(forecast_setup.locks)
        await asyncio.wait_for(
            forecast_worker.run(cycle=cycle, clock=forecast_setup.clock, locks=locks, stop=stop), ANSWER_S
        )

    asyncio.run(scenario())
    return found


def test_a_cycle_repeated_after_its_models_could_not_be_stored_is_no_conflict(
    forecast_setup: ForecastSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forecasts are issued. The operations tables become unavailable during training for the next cycle."""
    forecast_setup.import_history(ALL, 2)
    forecast_setup.weather.available = False
    cycles: list[list[str]] = []

    class AwayOnce(FakeForecastModels):
        def keep(self, models: Mapping[str, TrainedModel]) -> None:
            if len(cycles) == 1:
                cycles.append([])
                raise OperationsUnavailable("away")
            super().keep(models)

    models = ModelRegistry(AwayOnce())
    forecast_setup.stopped.moment = NOW - timedelta(hours=6)
    forecast_setup.run(forecast_setup.cycle(models=models))
    forecast_setup.stopped.moment = NOW
    cycles.append(ALL)
    (again,) = reports_of_the_worker(forecast_setup, monkeypatch, models, count=1, disturbed=lambda: None)
    assert len(cycles) == 2
    assert (again.kept, again.conflicts, again.cycle_start) == (ALL, [], CYCLE_START)
    assert ("forecast_conflicts", "forecasts") not in forecast_setup.open_alerts()


def test_forecasts_of_a_rival_for_the_cycle_after_an_aborted_one_are_conflicts(
    forecast_setup: ForecastSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast_setup.import_history(ALL, 2)
    forecast_setup.weather.available = False

    class AwayUntilTheNextCycle(ForecastIssuing):
        was_away = False

        def recorded(self, stream_ids: Sequence[UUID]) -> RecordedForecasts:
            if not self.was_away:
                self.was_away = True
                forecast_setup.stopped.moment += timedelta(minutes=15)
                assert forecast_setup.run().issued == ALL  # the cycle of the rival
                forecast_setup.import_history(ALL[:1], 1, kw=140.0)
                raise EventStoreUnavailable("away")
            return super().recorded(stream_ids)

    (report,) = reports_of_the_worker(
        forecast_setup,
        monkeypatch,
        ModelRegistry(),
        count=1,
        disturbed=lambda: None,
        issuing=AwayUntilTheNextCycle(forecast_setup.events, forecast_setup.clock),
    )
    assert report.cycle_start == CYCLE_START + timedelta(minutes=15)
    assert (report.conflicts, report.unchanged, report.kept) == (ALL[:1], ALL[1:], [])
    assert ("forecast_conflicts", "forecasts") in forecast_setup.open_alerts()


def test_a_worker_that_reacquires_its_lock_in_the_same_quarter_hour_reports_no_conflict(
    forecast_setup: ForecastSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failover of PostgreSQL the same process continues, and new readings have arrived."""
    forecast_setup.import_history(ALL, 2)
    forecast_setup.weather.available = False

    def lose_the_lock() -> None:
        forecast_setup.import_history(ALL[:1], 1, kw=140.0)
        forecast_setup.locks.free_all()

    first, again = reports_of_the_worker(
        forecast_setup, monkeypatch, ModelRegistry(), count=2, disturbed=lose_the_lock
    )
    assert (first.issued, first.cycle_start) == (ALL, again.cycle_start)
    assert (again.kept, again.unchanged, again.conflicts) == (ALL[:1], ALL[1:], [])
    assert ("forecast_conflicts", "forecasts") not in forecast_setup.open_alerts()


def test_two_schedulers_never_issue_the_same_cycle_twice(forecast_setup: ForecastSetup) -> None:
    forecast_setup.sites = [
        ForecastSite(facility_id=f"fac-{number:03}", tz="UTC", weather_cell="cell-1") for number in range(12)
    ]
    ids = [site.facility_id for site in forecast_setup.sites]
    forecast_setup.import_history(ids, 2)
    reports: list[CycleReport] = []
    # Both read the recorded forecasts before either saves.
    both = threading.Barrier(2)

    class Waiting(ForecastIssuing):
        def recorded(self, stream_ids: Sequence[UUID]) -> RecordedForecasts:
            found = super().recorded(stream_ids)
            if not found:
                both.wait(ANSWER_S)
            return found

    def schedule() -> None:
        cycle = forecast_setup.cycle(Waiting(forecast_setup.events, forecast_setup.clock))
        reports.append(forecast_setup.run(cycle))

    threads = [threading.Thread(target=schedule) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(END_S)
    assert sorted(reports[0].issued + reports[1].issued) == ids
    assert sorted(reports[0].unchanged + reports[1].unchanged) == ids
    assert len(forecast_setup.events.read_after(0, 1_000)) == 12
