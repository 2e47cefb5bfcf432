"""M8: a full disk stops no request by its log, is told by `/ready`, and reported before it is full."""

import asyncio
import io
import logging
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.bootstrap.health import readiness
from interfaces.bootstrap.health.readiness import CHECK_EVERY_S, CachedCheck, check_disk
from interfaces.logs import LINES_DROPPED, LossyOutput, LossyTextOutput
from interfaces.readiness import DependencyProblem, ReadinessProbe
from interfaces.workers.loops.process_monitor import DISK, DISK_USED, DiskMonitor
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.patience import START_S
from tests.unit.interfaces.web.edge import Edge, SettableClock

PROGRAM = """
import logging, structlog
from interfaces.logs import LINES_DROPPED, configure_logs
from interfaces.settings.settings import Settings
configure_logs(Settings(log_json={json}), process="web")
for _ in range(3):
    structlog.get_logger("web").warning("store unavailable", error="x" * 20_000)
    logging.getLogger("other").warning("x" * 20_000)
print(LINES_DROPPED._value.get())
"""


@pytest.mark.parametrize("json", [True, False], ids=["json", "console"])
def test_lines_that_a_full_disk_does_not_take_are_dropped_and_counted(json: bool) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(json=json)],
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=START_S,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (0, b"6.0\n")


class Filling(io.RawIOBase):
    """A disk with room for some bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data)[: self.room]
        if not taken:
            raise OSError(28, "No space left on device")
        self.room -= len(taken)
        self.written += taken
        return len(taken)


def test_lines_are_written_again_once_there_is_room() -> None:
    disk = Filling(8)
    output = LossyOutput(disk)  # type: ignore[arg-type]
    before = LINES_DROPPED._value.get()
    for line in (b"one\n", b"second\n", b"third\n"):
        assert output.write(line) == len(line)
    assert LINES_DROPPED._value.get() == before + 2
    disk.room = 100
    output.write(b"fourth\n")
    assert disk.written == b"one\nseco\nfourth\n"


def test_the_standard_library_logs_through_it_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(LossyTextOutput(LossyOutput(Filling(0))))  # type: ignore[arg-type]
    handler.handle(logging.LogRecord("x", logging.WARNING, "x", 1, "\udc80", None, None))
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_a_dependency_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "used_share", lambda _: 0.5)
    check_disk(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No such file"):
        check_disk(tmp_path / "absent")
    monkeypatch.setattr(readiness, "used_share", lambda _: 0.83)
    with pytest.raises(DependencyProblem, match="83% of the disk is used"):
        check_disk(tmp_path)


def test_ready_says_how_full_the_disk_is() -> None:
    async def nearly_full() -> None:
        raise DependencyProblem("83% of the disk is used")

    probe = ReadinessProbe(name="disk", needed=False, check=CachedCheck(nearly_full))
    with Edge(probes=(probe,)).client() as client:
        answer = client.get("/ready")
    [state] = answer.json()["dependencies"]
    assert (answer.json()["status"], state["problem"]) == ("degraded", "83% of the disk is used")


def stores_with(**settings: Any) -> Any:
    """Stores without PostgreSQL."""
    absent: dict[str, Any] = {
        "data_dir": Path("/nonexistent"),
        "telemetry_store": "postgres",
        "influx_url": None,
        "nats_url": None,
        "redis_url": None,
    }
    return SimpleNamespace(
        settings=SimpleNamespace(**(absent | settings)),
        clock_monitor=SimpleNamespace(check=lambda: None),
    )


def test_every_check_of_ready_is_cached_since_everybody_may_ask(tmp_path: Path) -> None:
    everywhere = "http://127.0.0.1:1"
    there = stores_with(
        data_dir=tmp_path,
        telemetry_store="influx",
        influx_url=everywhere,
        nats_url=everywhere,
        redis_url=everywhere,
    )
    probes = readiness.readiness_probes(there)
    assert {probe.name for probe in probes} == {
        "postgresql",
        "clock",
        "replicas",
        "disk",
        "nats",
        "cache",
        "influxdb",
    }
    assert all(isinstance(probe.check, CachedCheck) for probe in probes)


def test_a_database_that_takes_no_write_makes_the_process_not_ready() -> None:
    executed: list[str] = []

    class Connection:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            return

        def execute(self, sql: str) -> None:
            executed.append(sql)
            raise OSError("could not extend file: No space left on device")

    stores = stores_with()
    stores.pool = SimpleNamespace(connection=lambda timeout: Connection())
    with Edge(probes=readiness.readiness_probes(stores)).client() as client:
        answer = client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert "INSERT" in executed[0]


def test_however_many_ask_a_check_runs_once_in_a_while() -> None:
    now, runs, may_end = [0.0], list[int](), asyncio.Event()

    async def check() -> None:
        runs.append(1)
        await may_end.wait()
        raise OSError("full")

    async def scenario() -> None:
        cached = CachedCheck(check, monotonic=lambda: now[0])
        asked = [asyncio.ensure_future(cached()) for _ in range(20)]
        await asyncio.sleep(0)
        may_end.set()
        assert all(
            isinstance(error, OSError) for error in await asyncio.gather(*asked, return_exceptions=True)
        )
        with pytest.raises(OSError, match="full"):
            await cached()
        assert len(runs) == 1
        now[0] += CHECK_EVERY_S
        with pytest.raises(OSError, match="full"):
            await cached()
        assert len(runs) == 2

    asyncio.run(scenario())


def test_a_disk_that_fills_raises_an_alert_until_there_is_room() -> None:
    used, alerts = [0.81], FakeAlertRegistry()
    monitor = DiskMonitor(alerts, SettableClock(), lambda: used[0])
    monitor.check()
    assert alerts.open_by_name() == {DISK: 1}
    used[0] = 0.8
    monitor.check()
    assert alerts.open_by_name() == {}


def test_the_metric_of_the_disk_is_measured_in_a_thread_and_needs_no_database() -> None:
    class Away(FakeAlertRegistry):
        def state(self, *_: object, **__: object) -> None:
            raise OperationsUnavailable("no route to host")

    threads = list[threading.Thread]()

    def used() -> float:
        threads.append(threading.current_thread())
        return 0.95

    stop = asyncio.Event()

    async def scenario() -> None:
        running = asyncio.create_task(DiskMonitor(Away(), SettableClock(), used).periodic.run(stop))
        while not threads:  # noqa: ASYNC110 - another thread changes it
            await asyncio.sleep(0.005)
        stop.set()
        await running

    asyncio.run(scenario())
    assert REGISTRY.get_sample_value(DISK_USED._name) == 0.95
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
