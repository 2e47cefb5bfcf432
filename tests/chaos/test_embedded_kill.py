"""kill -9 of the process that started the servers or workers leaves no orphans, and the next start works."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from adapters.embedded import EmbeddedServerError, EmbeddedServers, spawn
from adapters.embedded.orphans import is_alive
from tests.patience import ANSWER_S, END_S, START_S

_ROOT = Path(__file__).parents[2]

_LAUNCH = """
import json, sys, time
from pathlib import Path
import psycopg
from adapters.embedded import EmbeddedServers, spawn
from interfaces.system.supervisor import Supervisor
data_dir = Path(sys.argv[1])
servers = EmbeddedServers(data_dir)
servers.start()
supervisor = Supervisor(spawn, data_dir / "logs")
worker = supervisor.start("worker", [sys.executable, "-c", "import time; time.sleep(1000)"])
with psycopg.connect(servers.admin_database_url) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS acked (n int)")
    connection.execute("INSERT INTO acked VALUES (1)")
print(json.dumps([worker, *(server.pid for server in servers.running)]), flush=True)
time.sleep(1000)
"""


_LAUNCH_AS_NOBODY = """
import json, sys, time
from pathlib import Path
from adapters.embedded.data_folder import DataFolder
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.unprivileged import by_nobody
server = EmbeddedPostgres(DataFolder.opened(Path(sys.argv[1])), ways_to_drop_root=[by_nobody])
server.start()
print(json.dumps([server.pid]), flush=True)
time.sleep(1000)
"""


@contextmanager
def _launcher(data_dir: Path, code: str = _LAUNCH) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A process that started everything, and the pids of all its descendants."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(data_dir)],
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the launcher failed; see above (status {process.wait(END_S)})"
        yield process, _with_descendants(json.loads(line))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _with_descendants(pids: list[int]) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    family = list(pids)
    for pid in family:
        family.extend(child for child, parent in parents.items() if parent == pid and child not in family)
    return family


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + ANSWER_S
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"orphans: {left}"
        time.sleep(0.01)


def test_kill_9_of_the_launcher_leaves_no_orphan(tmp_path: Path) -> None:
    with _launcher(tmp_path) as (process, pids):
        assert len(pids) > 6, "PostgreSQL has processes of its own"
        assert all(is_alive(pid) for pid in pids[:4]), "the worker and the three servers"
        process.kill()
        process.wait()
        _wait_until_gone(pids)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_kill_9_of_the_launcher_ends_a_postgres_of_another_user_too() -> None:
    """A change of user clears the death signal, so it has to be set again after it."""
    with tempfile.TemporaryDirectory(prefix="gridproof-nobody-") as folder:
        Path(folder).chmod(0o755)  # the user `nobody` must reach the data
        with _launcher(Path(folder) / "data", _LAUNCH_AS_NOBODY) as (process, pids):
            assert len(pids) > 4
            process.kill()
            process.wait()
            _wait_until_gone(pids)


def test_the_next_start_after_kill_9_has_all_committed_data(tmp_path: Path) -> None:
    for round_ in (1, 2, 3):
        with _launcher(tmp_path) as (process, _):
            process.kill()  # the next start follows at once, without waiting for the old servers
            process.wait()
            with (
                EmbeddedServers(tmp_path) as servers,
                psycopg.connect(servers.admin_database_url) as connection,
            ):
                row = connection.execute("SELECT count(*) FROM acked").fetchone()
                assert row == (round_,)


def test_the_next_start_recovers_from_kill_9_of_launcher_and_servers(tmp_path: Path) -> None:
    with _launcher(tmp_path) as (process, pids):
        for pid in (*pids, process.pid):  # the launcher last: its death would shut the servers down cleanly
            with suppress(
                ProcessLookupError
            ):  # a PostgreSQL process whose postmaster is gone exits by itself
                os.kill(pid, signal.SIGKILL)
        process.wait()
        assert (tmp_path / "postgres" / "pgdata" / "postmaster.pid").exists()
        with EmbeddedServers(tmp_path) as servers, psycopg.connect(servers.admin_database_url) as connection:
            assert connection.execute("SELECT count(*) FROM acked").fetchone() == (1,)


def test_a_postmaster_pid_reused_by_another_process_does_not_prevent_the_start(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, nats=False, valkey=False) as servers:
        pid_file = servers.postgres.working_folder() / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        servers.postgres.kill()
        with subprocess.Popen(["sleep", "1000"]) as somebody:
            pid_file.write_text("\n".join([str(somebody.pid), *lines[1:]]) + "\n")
            servers.postgres.start()
            assert servers.postgres.pid is not None
            assert somebody.poll() is None
            somebody.kill()


def test_a_killed_postmaster_that_is_a_zombie_does_not_prevent_the_start(tmp_path: Path) -> None:
    """PostgreSQL checks with `kill -0`, which succeeds for a zombie."""
    with EmbeddedServers(tmp_path, nats=False, valkey=False) as servers:
        pid_file = servers.postgres.working_folder() / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        servers.postgres.kill()
        with subprocess.Popen(["true"]) as zombie:
            os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
            pid_file.write_text("\n".join([str(zombie.pid), *lines[1:]]) + "\n")
            servers.postgres.start()
            assert servers.postgres.pid is not None


def test_a_server_left_by_an_earlier_launcher_is_ended_before_the_start(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, nats=False) as servers:
        program, folder = servers.valkey.program(), servers.valkey.working_folder()
        servers.valkey.kill()
        orphan = subprocess.Popen([program, "--port", "0", "--unixsocket", "orphan.sock"], cwd=folder)
        innocent = subprocess.Popen(["sleep", "1000"], cwd=folder)
        servers.valkey.start()
        assert orphan.wait(ANSWER_S) is not None
        assert is_alive(innocent.pid)
        innocent.kill()
        innocent.wait()


def test_the_end_of_the_starting_thread_ends_no_server(tmp_path: Path) -> None:
    """A child gets its death signal when the thread that started it ends, so the caller's thread must not start it."""
    servers = EmbeddedServers(tmp_path, nats=False)
    thread = threading.Thread(target=servers.start)
    thread.start()
    thread.join()
    try:
        assert redis.Redis.from_url(servers.redis_url).ping()
        assert all(server.ended_by_itself() is None for server in servers.running)
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        servers.stop()


def test_a_forked_process_can_start_children_of_its_own(tmp_path: Path) -> None:
    """A fork copies no threads, so the thread that starts children must be created again."""
    with (tmp_path / "log").open("ab") as log:
        spawn(["true"], output=log).wait(ANSWER_S)
    code = (
        "import os, sys\n"
        "from adapters.embedded import spawn\n"
        "log = open(sys.argv[1], 'ab')\n"
        "spawn(['true'], output=log).wait(20)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(spawn(['sh', '-c', 'exit 9'], output=log).wait(20))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    env: dict[str, Any] = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        env=env,
        capture_output=True,
        timeout=START_S,
        check=True,
    )
    assert done.stdout == b"9\n"


@pytest.mark.parametrize("name", ["postgres", "nats", "valkey"])
def test_a_watched_server_that_is_killed_is_restarted_at_the_same_address(tmp_path: Path, name: str) -> None:
    restarted: queue.Queue[tuple[str, int]] = queue.Queue()
    failed: queue.Queue[EmbeddedServerError] = queue.Queue()
    with EmbeddedServers(tmp_path) as servers:
        servers.watch(lambda server, returncode: restarted.put((server, returncode)), failed.put)
        server = {one.name: one for one in servers.running}[name]
        ports, pid = dict(server.ports), server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert restarted.get(timeout=START_S) == (name, -signal.SIGKILL)
        assert server.ports == ports
        assert server.pid not in (None, pid)
        assert failed.empty()


def test_a_watched_server_that_cannot_start_is_given_up_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: queue.Queue[EmbeddedServerError] = queue.Queue()
    with EmbeddedServers(tmp_path, postgres=False, nats=False) as servers:
        monkeypatch.setattr(
            servers.valkey, "command", lambda: [sys.executable, "-c", "raise SystemExit('no')"]
        )
        servers.watch(lambda server, returncode: None, failed.put)
        assert servers.valkey.pid is not None
        os.kill(servers.valkey.pid, signal.SIGKILL)
        failure = failed.get(timeout=ANSWER_S)
    assert failure.server == "valkey"
    assert failure.log_tail
