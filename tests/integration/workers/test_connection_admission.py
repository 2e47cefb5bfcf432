"""Scaling up cannot exceed the connection budget: a worker for which there is no room refuses to start."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from socket import gethostname

import psycopg
import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.postgres import SUPERUSER
from interfaces.bootstrap.connection_budget import budget_of_worker
from interfaces.bootstrap.health.admission import reserved_connections
from interfaces.bootstrap.health.process import heartbeats_of
from interfaces.bootstrap.servers import migrate_database, with_embedded
from interfaces.bootstrap.stores import open_stores
from interfaces.settings.settings import PREFIX, Settings
from interfaces.system.private_files import make_private_folder

WORKER = "compute"
FITTING = 3
SUPERUSERS = 3
"""Connections that PostgreSQL reserves for them by default."""
WITHIN_S = 240.0


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[tuple[Settings, str]]:
    """A server that allows the connections of three workers, and a command beside them; and the superuser's address."""
    settings = Settings(
        data_dir=tmp_path / "data",
        nats_url="nats://127.0.0.1:1",
        redis_url="redis://127.0.0.1:1",
        log_level="warning",
    )
    most = FITTING * budget_of_worker(WORKER, settings) + reserved_connections(settings) + SUPERUSERS + 2
    limits = {"max_connections": str(most)}
    with EmbeddedServers(settings.data_dir, nats=False, valkey=False, postgres_settings=limits) as servers:
        complete = with_embedded(settings, servers)
        migrate_database(complete, alone=True)
        make_private_folder(complete.secrets_folder)
        yield complete, servers.postgres.url(SUPERUSER)


def started(settings: Settings, folder: Path, number: int, stack: ExitStack) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with (folder / f"{number}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "interfaces.cli", "--env-file", os.devnull, "worker", WORKER],
            env=environ | settings.to_environ(),
            stdout=log,
            stderr=log,
        )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_worker_for_which_no_connections_are_left_refuses_to_start(
    small_server: tuple[Settings, str], tmp_path: Path
) -> None:
    settings, admin_url = small_server
    with (
        ExitStack() as stack,
        psycopg.connect(admin_url, autocommit=True) as admin,
        closing(open_stores(settings, pool_size=1)) as stores,
    ):
        heartbeats = heartbeats_of(stores)
        processes = [started(settings, tmp_path, number, stack) for number in range(FITTING + 1)]
        eventually(lambda: any(one.poll() is not None for one in processes), "one is refused")
        eventually(lambda: len(heartbeats.listed()) == FITTING, "the others run")
        [refused] = [number for number, one in enumerate(processes) if one.poll() is not None]
        assert processes[refused].returncode == 1
        said = (tmp_path / f"{refused}.log").read_text()
        [alert] = [one for one in stores.alerts().listed() if one.name == "process_refused"]
        assert alert.subject == f"{WORKER} on {gethostname()}"
        assert "raise its max_connections by" in alert.detail
        each = budget_of_worker(WORKER, settings)
        assert f"{WORKER} may open {each} connections, the processes that run {FITTING * each}" in said
        assert "raise its max_connections by" in said
        sessions = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        ).fetchone()
        assert sessions is not None
        assert sessions[0] <= FITTING * each + reserved_connections(settings) + 2

        # One that is killed leaves its place to the next, without a person who removes it.
        killed = next(one for one in processes if one.poll() is None)
        killed.kill()
        killed.wait()
        follower = started(settings, tmp_path, FITTING + 1, stack)
        eventually(
            lambda: follower.pid in {one.process.pid for one in heartbeats.listed()}, "it takes the place"
        )
        eventually(lambda: "process_refused" not in stores.alerts().open_by_name(), "its alert ends")
        assert follower.poll() is None
