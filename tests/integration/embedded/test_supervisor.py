"""The supervisor restarts real processes and stops them gracefully."""

from __future__ import annotations

import gzip
import os
import queue
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.embedded import spawn
from adapters.embedded.orphans import is_alive
from interfaces.bootstrap import machine_time
from interfaces.log_files import LogFiles, LogRetention, LogRotation, rotated_logs
from interfaces.system.supervisor import RestartPolicy, Supervisor
from tests.patience import ANSWER_S

_POLITE = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1000)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)",
]
_PUTS_AWAY = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("put away", flush=True), sys.exit(0)))
print("up", flush=True)
time.sleep(1000)
"""
_GRACEFUL = [sys.executable, "-c", _PUTS_AWAY]
_FAILING = [sys.executable, "-c", "import sys; print('cannot', flush=True); sys.exit(7)"]
_QUICK = RestartPolicy(first_s=0.01, longest_s=0.05, most_in_a_row=3)

Notices = queue.Queue[tuple[str, int]]


@pytest.fixture
def restarted() -> Notices:
    return queue.Queue()


@pytest.fixture
def given_up() -> Notices:
    return queue.Queue()


@pytest.fixture
def supervisor(tmp_path: Path, restarted: Notices, given_up: Notices) -> Iterator[Supervisor]:
    def note(where: Notices, name: str, returncode: int) -> None:
        where.put((name, returncode))

    with Supervisor(
        spawn,
        tmp_path / "logs",
        policy=_QUICK,
        on_restart=lambda name, returncode: note(restarted, name, returncode),
        on_given_up=lambda name, returncode: note(given_up, name, returncode),
    ) as running:
        yield running


def _until_logged(log: Path, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not log.exists() or log.read_text().count(text) < times:
        assert time.monotonic() < deadline, f"{log} does not contain {text!r}"
        time.sleep(0.01)


def test_a_killed_child_is_restarted(supervisor: Supervisor, restarted: Notices, tmp_path: Path) -> None:
    first = supervisor.start("dispatch", _POLITE)
    assert supervisor.pid_of("dispatch") == first
    os.kill(first, signal.SIGKILL)
    assert restarted.get(timeout=ANSWER_S) == ("dispatch", -signal.SIGKILL)
    second = supervisor.pid_of("dispatch")
    assert second not in (None, first)
    assert supervisor.restarts("dispatch") == 1
    _until_logged(tmp_path / "logs" / "dispatch.log", "up")


def test_only_the_killed_child_is_restarted(supervisor: Supervisor, restarted: Notices) -> None:
    pids = {name: supervisor.start(name, _POLITE) for name in ("relay", "notify")}
    os.kill(pids["relay"], signal.SIGKILL)
    assert restarted.get(timeout=ANSWER_S)[0] == "relay"
    assert supervisor.pid_of("notify") == pids["notify"]
    assert supervisor.restarts("notify") == 0


def test_a_child_that_keeps_failing_is_no_longer_restarted(
    supervisor: Supervisor, given_up: Notices, tmp_path: Path
) -> None:
    supervisor.start("broken", _FAILING)
    assert given_up.get(timeout=ANSWER_S) == ("broken", 7)
    assert supervisor.restarts("broken") == 3
    assert supervisor.pid_of("broken") is None
    assert (tmp_path / "logs" / "broken.log").read_text().count("cannot") == 4


def test_a_callback_that_fails_does_not_end_the_supervision(tmp_path: Path) -> None:
    calls: Notices = queue.Queue()

    def fail(name: str, returncode: int) -> None:
        calls.put((name, returncode))
        raise LookupError("a mistake of the caller's")

    with Supervisor(spawn, tmp_path, policy=_QUICK, on_restart=fail) as supervisor:
        for pid in (supervisor.start("relay", _POLITE), supervisor.pid_of("relay")):
            assert pid is not None
            os.kill(supervisor.pid_of("relay") or pid, signal.SIGKILL)
            assert calls.get(timeout=ANSWER_S) == ("relay", -signal.SIGKILL)
        assert supervisor.restarts("relay") == 2


def test_stop_lets_a_child_shut_down_cleanly(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start("notify", _GRACEFUL)
    _until_logged(tmp_path / "logs" / "notify.log", "up")
    assert supervisor.stop() == {"notify": 0}
    assert "put away" in (tmp_path / "logs" / "notify.log").read_text()


def test_stop_kills_a_child_that_ignores_sigterm(
    supervisor: Supervisor, tmp_path: Path, restarted: Notices
) -> None:
    pid = supervisor.start("measure", _STUBBORN)
    _until_logged(tmp_path / "logs" / "measure.log", "up")
    assert supervisor.stop(deadline_s=0.2) == {"measure": -signal.SIGKILL}
    assert not is_alive(pid)
    assert supervisor.pid_of("measure") is None
    assert restarted.empty()


def test_the_descendants_of_a_killed_child_are_ended(
    supervisor: Supervisor, tmp_path: Path, restarted: Notices
) -> None:
    shell = ["sh", "-c", f'"{sys.executable}" -c "import time; time.sleep(1000)" & echo grandchild $!; wait']
    child = supervisor.start("web", shell)
    log = tmp_path / "logs" / "web.log"
    _until_logged(log, "grandchild")
    grandchild = int(log.read_text().split()[1])
    assert is_alive(grandchild)
    os.kill(child, signal.SIGKILL)
    restarted.get(timeout=ANSWER_S)
    deadline = time.monotonic() + ANSWER_S
    while is_alive(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_gets_the_given_environment(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(
        "ingest", ["sh", "-c", 'echo "got $WANTED"; exec sleep 1000'], {"WANTED": "this", "PATH": "/bin"}
    )
    _until_logged(tmp_path / "logs" / "ingest.log", "got this")


def test_a_duplicate_child_name_is_refused(supervisor: Supervisor) -> None:
    supervisor.start("project", _POLITE)
    with pytest.raises(ValueError, match="a child called project already"):
        supervisor.start("project", _POLITE)
    assert supervisor.names() == ["project"]


def test_a_stopping_supervisor_starts_no_child(supervisor: Supervisor) -> None:
    supervisor.stop()
    with pytest.raises(RuntimeError, match="is stopping"):
        supervisor.start("late", _POLITE)


def test_the_log_of_a_process_that_goes_on_writing_is_rotated(supervisor: Supervisor, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    retention = LogRetention(days=30, most_bytes=1_000_000, largest_bytes=1_000)
    rotation = LogRotation(LogFiles(folder, retention, machine_time, None), every_s=0.02)
    try:
        counting = "n=0; while true; do n=$((n+1)); echo line $n; sleep 0.001; done"
        supervisor.start("talker", ["sh", "-c", counting])
        deadline = time.monotonic() + ANSWER_S
        while len(rotated_logs(folder)) < 3:
            assert time.monotonic() < deadline, "it was not rotated"
            time.sleep(0.02)
    finally:
        rotation.stop()
    supervisor.stop()
    rotated = b"".join(gzip.decompress(one.path.read_bytes()) for one in rotated_logs(folder))
    lines = (rotated + (folder / "talker.log").read_bytes()).decode().splitlines()
    numbers = [int(line.removeprefix("line ")) for line in lines]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers)), "in order, each line once and whole"
    assert not list(folder.glob("*.partial"))


def test_the_pause_between_restarts_doubles_up_to_its_bound() -> None:
    policy = RestartPolicy(first_s=0.1, longest_s=1.0)
    assert [policy.pause_s(n) for n in (0, 1, 2, 3, 4, 1000)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
