"""Alerts about the workers: an open breaker, a restarted process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from interfaces.bootstrap import open_stores
from interfaces.bootstrap.stores import Stores
from interfaces.settings.settings import Settings, read_settings
from interfaces.system.running_system import PROCESSES, RunningSystem
from tests.servers import Database

WITHIN_S = 60.0


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    environ = {"GRIDPROOF_DATABASE_URL": database.app_dsn, "GRIDPROOF_DATA_DIR": str(tmp_path / "data")}
    return read_settings(environ)


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    with closing(open_stores(settings, pool_size=1)) as opened:
        yield opened


def open_alerts(stores: Stores) -> list[tuple[str, str]]:
    return [(alert.name, alert.subject) for alert in stores.alerts().listed()]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def test_a_killed_process_is_restarted_and_raises_an_alert(settings: Settings, stores: Stores) -> None:
    settings.data_dir.mkdir(parents=True)
    with RunningSystem(settings) as system:
        system.start_workers(settings, without=PROCESSES)
        pid = system.start_process("decide", ["worker", "decide"])
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: open_alerts(stores) == [("worker_restarted", "decide")])
        assert system.restarts()["decide"] >= 1
