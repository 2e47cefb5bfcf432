"""deploy/rollout/rollout.py on two web processes that people read from, with a real Prometheus."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx
import pytest
import yaml

from adapters.embedded.loopback import free_port
from interfaces.bootstrap import open_stores
from interfaces.demo.setup import issue_key
from interfaces.settings.settings import read_settings
from tests.architecture.source_tree import ROOT
from tests.balanced_client import BalancedClient, reads
from tests.integration.prometheus.local_process import LocalProcess, read, write
from tests.integration.prometheus.processes import eventually, running
from tests.patience import ANSWER_S
from tests.servers import Database

DebianCommand = Callable[[str], Path]
NAMES = ("web-1", "web-2")
OF_BEFORE = [sys.executable, "-m", "interfaces.cli", "worker", "web"]
GOOD = [sys.executable, "-u", "-m", "interfaces.cli", "worker", "web"]
PEOPLE = 12
ROLLED_OUT_WITHIN_S = 400
LIMITS = ("--max-error-share=0.05", "--max-p99-s=9", "--least-requests=10", "--watch-s=40", "--every-s=1")


def bad(fault: str) -> list[str]:
    return [sys.executable, "-m", "tests.integration.prometheus.bad_web", fault]


@dataclass(frozen=True)
class Rollout:
    folder: Path
    prometheus: str
    ports: dict[str, int]
    metrics: dict[str, int]

    def command(self, name: str, program: list[str]) -> list[str]:
        replace = [sys.executable, "-m", "tests.integration.prometheus.local_process"]
        return [*replace, str(self.folder), name, *program]

    def start(self) -> None:
        for name in NAMES:
            subprocess.run(self.command(name, OF_BEFORE), cwd=ROOT, check=True)
        for name in NAMES:
            eventually(lambda name=name: self.is_ready(name), f"{name} is ready")  # type: ignore[misc]

    def stop(self) -> None:
        for name in NAMES:
            read(self.folder, name).stop()

    def is_ready(self, name: str) -> bool:
        try:
            return httpx.get(self.url(name) + "/ready", timeout=ANSWER_S).status_code == 200
        except httpx.TransportError:
            return False

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def run(self, program: list[str]) -> subprocess.CompletedProcess[str]:
        """Replace both processes by ones that run `program`."""
        plan = {
            "processes": [
                {
                    "name": name,
                    "instance": f"127.0.0.1:{self.metrics[name]}",
                    "ready": self.url(name) + "/ready",
                    "replace": self.command(name, program),
                    "roll_back": self.command(name, OF_BEFORE),
                }
                for name in NAMES
            ]
        }
        file = self.folder / "plan.json"
        file.write_text(json.dumps(plan))
        script = [sys.executable, "deploy/rollout/rollout.py", "replace", str(file)]
        return subprocess.run(
            [*script, f"--prometheus={self.prometheus}", *LIMITS],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=ROLLED_OUT_WITHIN_S,
            check=False,
        )

    def programs(self) -> list[list[str]]:
        return [read(self.folder, name).program for name in NAMES]

    def pids(self) -> list[int]:
        return [read(self.folder, name).pid for name in NAMES]


@pytest.fixture
def rollout(database: Database, tmp_path: Path, debian_command: DebianCommand) -> Iterator[Rollout]:
    """Two web processes of before, scraped each second, and people who read from both."""
    prometheus = free_port()
    found = Rollout(
        tmp_path,
        f"http://127.0.0.1:{prometheus}",
        {name: free_port() for name in NAMES},
        {name: free_port() for name in NAMES},
    )
    common = {"GRIDPROOF_DATABASE_URL": database.app_dsn, "GRIDPROOF_DATA_DIR": str(tmp_path / "data")}
    with closing(open_stores(read_settings(common), pool_size=1)) as stores:
        key = issue_key(stores, role="admin", utility_id=None)
    for name in NAMES:
        binds = {
            "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{found.ports[name]}",
            "GRIDPROOF_HTTP_METRICS_BIND": f"127.0.0.1:{found.metrics[name]}",
        }
        write(tmp_path, name, LocalProcess(0, [], common | binds))
    config = tmp_path / "prometheus.yml"
    targets = [f"127.0.0.1:{port}" for port in found.metrics.values()]
    job = {"job_name": "gridproof", "static_configs": [{"targets": targets}]}
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    with ExitStack() as stack:
        stack.callback(found.stop)
        found.start()
        stack.enter_context(
            running(
                debian_command("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{prometheus}",
            )
        )
        stack.enter_context(people(found, key))
        yield found


@contextmanager
def people(rollout: Rollout, key: str) -> Iterator[None]:
    servers = [httpx.URL(rollout.url(name)) for name in NAMES]
    stop = Event()
    with ThreadPoolExecutor(PEOPLE) as threads:
        for _ in range(PEOPLE):
            client = BalancedClient(servers, reads(key, ["/api/facilities?limit=5"]), pause_s=0.3)
            threads.submit(client.run, stop)
        try:
            yield
        finally:
            stop.set()


def test_a_good_release_replaces_both_processes_and_a_bad_one_is_rolled_back(rollout: Rollout) -> None:
    done = rollout.run(GOOD)
    assert (done.returncode, rollout.programs()) == (0, [GOOD, GOOD]), done.stdout + done.stderr

    for fault, said in (("slow", "p99 is over 9 s"), ("failing", "more than 5.0% errors")):
        [first, second] = rollout.pids()
        rolled_back = rollout.run(bad(fault))
        assert rolled_back.returncode == 3, rolled_back.stdout + rolled_back.stderr
        assert said in rolled_back.stdout
        # The second process was never touched.
        assert rollout.programs() == [OF_BEFORE, GOOD]
        assert rollout.pids()[1] == second
        assert rollout.pids()[0] != first
        assert all(map(rollout.is_ready, NAMES))
