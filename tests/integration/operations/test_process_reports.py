"""Real worker processes report that they run, and what they can reach; one that is stopped holds its locks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from adapters.embedded.loopback import free_port
from adapters.postgres.operations.lock_sessions import PostgresLockSessions
from interfaces.bootstrap import open_stores
from interfaces.bootstrap.health.process import ReportedDependencies, heartbeats_of
from interfaces.bootstrap.stores import Stores
from interfaces.settings.settings import read_settings
from interfaces.workers.watch import heartbeat_monitor
from interfaces.workers.watch.heartbeat_monitor import HeartbeatMonitor
from tests.patience import ANSWER_S, END_S
from tests.servers import Database

WITHIN_S = 120.0
TURN = "projection facilities"


@pytest.fixture
def environ(database: Database, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "blocked").touch()  # no folder can be made there
    return {
        "GRIDPROOF_DATABASE_URL": database.app_dsn,
        "GRIDPROOF_DATA_DIR": str(tmp_path),
        "GRIDPROOF_ARCHIVE_URL": f"file://{tmp_path}/blocked/archive",
        "GRIDPROOF_WORKER_METRICS_BIND": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture
def stores(environ: dict[str, str]) -> Iterator[Stores]:
    with closing(open_stores(read_settings(environ), pool_size=2)) as opened:
        yield opened


@contextmanager
def worker(name: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "interfaces.cli", "worker", name]
    process = subprocess.Popen(argv, env=os.environ | environ)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def fetched(environ: dict[str, str], path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(
            f"http://{environ['GRIDPROOF_WORKER_METRICS_BIND']}{path}", timeout=ANSWER_S
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""


def states_of(document: str) -> tuple[str, dict[str, bool]]:
    """The status, and which dependencies are up: a probe that takes over 2 s on a busy machine says no."""
    ready = json.loads(document)
    return ready["status"], {one["name"]: one["up"] for one in ready["dependencies"]}


def test_a_worker_serves_its_probes_reports_and_says_farewell(
    environ: dict[str, str], stores: Stores
) -> None:
    heartbeats = heartbeats_of(stores)
    with worker("project", environ) as process:
        eventually(lambda: fetched(environ, "/ready")[0] == 200, "ready")
        expected = {"postgresql": True, "clock": True, "disk": True, "archive": False}
        eventually(lambda: states_of(fetched(environ, "/ready")[1]) == ("degraded", expected), "its probes")
        eventually(lambda: any(one.dependencies for one in heartbeats.listed()), "a heartbeat")
        [one] = heartbeats.listed()
        assert (one.process.worker, one.process.pid) == ("project", process.pid)
        assert one.dependencies["archive"] == "NotADirectoryError"
        eventually(
            lambda: 'gridproof_worker_ready{worker="project"} 1.0' in fetched(environ, "/metrics")[1],
            "metrics",
        )
        metrics = fetched(environ, "/metrics")[1]
        assert 'gridproof_dependency_up{dependency="archive",worker="project"} 0.0' in metrics
        assert "gridproof_disk_used_ratio" in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) == 0
    assert heartbeats.listed() == []


def test_ready_of_web_names_what_other_processes_report(stores: Stores) -> None:
    from application.ports.operations.heartbeats import Process

    heartbeats = heartbeats_of(stores)
    reports: list[tuple[str, dict[str, str | None]]] = [
        ("ingest", {"mqtt": "ConnectionRefusedError", "nats": None}),
        ("forecast", {"weather": None}),
    ]
    for pid, (name, dependencies) in enumerate(reports):
        heartbeats.beat(Process(name, "host", pid), backends=[], dependencies=dependencies)
    found = asyncio.run(_states(heartbeats_of(stores)))
    assert found == [
        ("mqtt", False, "ConnectionRefusedError, as ingest reports"),
        ("nats", True, None),
        ("weather", True, None),
    ]


async def _states(heartbeats: object) -> list[tuple[str, bool, str | None]]:
    reported = ReportedDependencies(heartbeats)  # type: ignore[arg-type]
    return [(state.name, state.up, state.problem) for state in await reported()]


def reports_a_turn(stores: Stores) -> bool:
    """Whether a heartbeat names the session of a projection's turn: the lock of a transaction would end with it."""
    sessions = PostgresLockSessions(stores.pool).holders([TURN])
    return any(int(sessions.get(TURN, 0)) in one.backends for one in heartbeats_of(stores).listed())


def test_a_stopped_process_is_silent_and_holds_its_locks_until_it_is_killed(
    environ: dict[str, str], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_monitor, "SILENT_S", 2.0)
    heartbeats, alerts = heartbeats_of(stores), stores.alerts()
    monitor = HeartbeatMonitor(heartbeats, lambda _: 0, alerts, stores.clock)

    def open_names() -> set[str]:
        asyncio.run(monitor.check())
        return {alert.name for alert in alerts.listed()}

    with worker("project", environ) as process:
        eventually(lambda: reports_a_turn(stores), "a heartbeat of the process that projects the facilities")
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: open_names() >= {"worker_silent", "turn_held_by_dead"}, "both alerts")
        process.kill()
        eventually(lambda: "turn_held_by_dead" not in open_names(), "the locks are free")
        assert "worker_silent" in open_names()
    with worker("project", environ):
        eventually(lambda: "worker_silent" not in open_names(), "another process reports")
