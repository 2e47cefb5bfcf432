"""The compute worker on a real PostgreSQL: a cycle in every quarter-hour, stored models, and outages."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from adapters.clock import AcceleratedClock
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from application.forecast import model_registry
from application.forecast.model_registry import ModelRegistry
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.forecast import Forecast
from interfaces.workers.compute import forecast as forecast_worker
from tests.fakes.forecast.models import FakeForecastModels
from tests.integration.forecast.forecast_setup import ALL, CYCLE_START, NOW, ForecastSetup
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer


def test_a_restarted_scheduler_continues_with_the_stored_models(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL, 42)
    kept = FakeForecastModels()
    forecast_setup.run(forecast_setup.cycle(models=ModelRegistry(kept)))
    forecast_setup.stopped.moment = NOW + timedelta(minutes=15)
    report = forecast_setup.run(forecast_setup.cycle(models=ModelRegistry(kept)))
    assert report.issued == ALL
    newest = forecast_setup.events.read_after(0, 100)[-1].domain_event
    assert isinstance(newest, Forecast.Issued)
    assert (newest.cycle_start, newest.model.trained_at) == (
        forecast_setup.stopped.moment.replace(second=0),
        CYCLE_START,
    )


def test_waiting_facilities_are_trained_in_the_rest_of_the_quarter_hour(
    forecast_setup: ForecastSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This happens with many facilities at the first start, or after an upgrade that cannot read older models."""
    monkeypatch.setattr(model_registry, "NEW_AT_ONCE", 1)
    forecast_setup.import_history(ALL, 8)
    cycle = forecast_setup.cycle()
    first = forecast_setup.run(cycle)
    assert (first.issued, first.waiting) == (ALL[:1], ALL[1:])
    asyncio.run(cycle.train_waiting(first, lambda: False))
    forecast_setup.stopped.moment += timedelta(minutes=15)
    second = forecast_setup.run(cycle)
    assert (second.issued, second.waiting) == (ALL[:2], ALL[2:])
    asyncio.run(cycle.train_waiting(second, lambda: True))
    assert forecast_setup.run(cycle).issued == ALL[2:]


def test_the_worker_runs_a_cycle_at_once_and_one_in_every_quarter_hour(
    forecast_setup: ForecastSetup, database: Database
) -> None:
    forecast_setup.import_history(ALL, 42)
    # A quarter-hour of this clock is half a second.
    forecast_setup.clock = AcceleratedClock(epoch=NOW, started_at=datetime.now(UTC), speed=1_800)
    stop = asyncio.Event()

    def cycles() -> list[datetime]:
        facts = [entry.domain_event for entry in forecast_setup.events.read_after(0, 1_000)]
        return sorted({fact.cycle_start for fact in facts if isinstance(fact, Forecast.Issued)})

    async def watch() -> None:
        await asyncio.to_thread(_wait_until, lambda: len(cycles()) >= 3)
        stop.set()

    async def scenario() -> None:
        async with aclosing(AdvisoryLocks(LockSession(database.app_dsn))) as locks:
            worker = forecast_worker.run(
                cycle=forecast_setup.cycle(), clock=forecast_setup.clock, locks=locks, stop=stop
            )
            await asyncio.wait_for(asyncio.gather(worker, watch()), ANSWER_S)

    asyncio.run(scenario())
    found = cycles()
    assert found[0] == CYCLE_START
    assert all(start.minute % 15 == 0 for start in found)


def test_the_worker_waits_for_an_unavailable_database(
    forecast_setup: ForecastSetup, database: Database, postgres_server: PostgresServer
) -> None:
    forecast_setup.import_history(ALL, 42)
    stop = asyncio.Event()

    async def trouble() -> None:
        await asyncio.to_thread(postgres_server.start)
        await asyncio.to_thread(_wait_until, lambda: _head(forecast_setup) > 0)
        stop.set()

    async def scenario() -> None:
        async with aclosing(AdvisoryLocks(LockSession(database.app_dsn))) as locks:
            worker = forecast_worker.run(
                cycle=forecast_setup.cycle(), clock=forecast_setup.clock, locks=locks, stop=stop
            )
            await asyncio.wait_for(asyncio.gather(worker, trouble()), ANSWER_S)

    postgres_server.kill()
    asyncio.run(scenario())
    assert set(forecast_setup.book.newest_of(ALL, at=NOW)) == set(ALL)


def _head(forecast_setup: ForecastSetup) -> int:
    try:
        return forecast_setup.events.head()
    except EventStoreUnavailable:
        return 0


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not reached():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)
