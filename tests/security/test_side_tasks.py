"""An error of a monitor or an expiry does not stop the watch worker, and somebody is told."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from application.event_store.event_mapper import UnknownTopic
from interfaces.bootstrap import open_stores
from interfaces.bootstrap.kinds import watch
from interfaces.settings.settings import read_settings
from interfaces.workers.loops import side_task
from interfaces.workers.loops.side_task import ALERT, run_side_task
from interfaces.workers.watch.recovery_monitor import RecoveryMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import NOW
from tests.servers import Database

WITHIN_S = 30.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(side_task, "RETRY_S", 0.01)
    monkeypatch.setattr(side_task, "SOUND_AFTER_S", 0.01)
    with capture_logs():
        yield


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110 - a task changes the condition
            await asyncio.sleep(0.005)


def test_a_side_task_that_fails_starts_over_and_its_alert_ends_once_it_runs() -> None:
    alerts, stop = FakeAlertRegistry(), asyncio.Event()
    errors: list[Exception] = [UnknownTopic("upgrade this process"), TypeError("a defect")]
    may_run = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        if errors:
            raise errors.pop(0)
        await may_run.wait()

    async def scenario() -> None:
        guarded = run_side_task(run, stop, name="a monitor", alerts=alerts, clock=FakeClock(NOW))
        running = asyncio.create_task(guarded)
        await until(lambda: bool(alerts.listed()))
        [alert] = alerts.listed()
        assert (alert.name, alert.subject) == (ALERT, "a monitor")
        assert alert.detail.startswith("UnknownTopic: upgrade this process")
        await until(lambda: not alerts.listed())
        assert not running.done()
        may_run.set()
        await running

    asyncio.run(scenario())
    assert errors == []


def test_the_alert_of_a_task_that_is_done_ends() -> None:
    alerts = FakeAlertRegistry()
    errors: list[Exception] = [TypeError("a defect")]

    async def run(stop: asyncio.Event) -> None:
        if errors:
            raise errors.pop()

    async def scenario() -> None:
        await run_side_task(run, asyncio.Event(), name="a look", alerts=alerts, clock=FakeClock(NOW))

    asyncio.run(scenario())
    assert (errors, alerts.listed()) == ([], [])


def test_the_watch_worker_goes_on_while_a_monitor_fails(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = 0

    def failing(self: RecoveryMonitor) -> NoReturn:
        nonlocal checks
        checks += 1
        raise UnknownTopic("upgrade this process")

    monkeypatch.setattr(RecoveryMonitor, "check", failing)
    monkeypatch.setattr(side_task, "SOUND_AFTER_S", 60.0)  # however long a round takes, the alert stays open
    environ = {"GRIDPROOF_DATABASE_URL": database.app_dsn, "GRIDPROOF_DATA_DIR": str(tmp_path / "data")}

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.ensure_future(watch.run(stores, stop))
        await until(lambda: checks >= 2 or running.done())
        assert not running.done(), running.exception()
        opened = {(alert.name, alert.subject) for alert in stores.alerts().listed()}
        assert (ALERT, "recovery monitor") in opened
        stop.set()
        await asyncio.wait_for(running, WITHIN_S)

    with closing(open_stores(read_settings(environ), pool_size=2)) as stores:
        asyncio.run(scenario())
