"""Processes of two releases on one database, NATS and cache, in a simulated world whose clock goes on from the dump."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from adapters.embedded.loopback import free_port
from adapters.nats.bms_work import BMS_STREAM, BMS_SUBJECT, PARTITION
from adapters.nats.connection import connect
from interfaces.cli.worker import WORKERS
from tests.servers import nats_server, valkey_server
from tests.upgrades.releases import THIS_TREE, Installation
from tests.upgrades.restored_release import RestoredRelease
from tests.upgrades.resumed_system import GENEROUS, SECRET, moved_portfolio, until, world_process

SPEED = 30.0
"""A building ends a curtailment by itself half an hour after the window: here a minute, in which a process starts."""
COMMAND_WITHIN_S = 600.0
STOPPED_WITHIN_S = 300.0
DRAINED_WITHIN_S = 600.0
PARTITIONS = f"{BMS_SUBJECT}.{PARTITION}.>"
MANY = "10000"
MOST_PER_DAY, MOST_PER_SEASON = 1_000, 10_000
UNBOUNDED = {"GRIDPROOF_HTTP_RATE_PER_KEY_PER_S": MANY, "GRIDPROOF_QUEUE_DEPTH": MANY}
NEWER_SETTINGS = {"GRIDPROOF_WAITING_PER_UTILITY": MANY, "GRIDPROOF_BMS_NETWORKS": "127.0.0.0/8"}
"""Release 0.1 refuses them as unknown."""


@dataclass
class Running:
    """A process of a release."""

    installation: Installation
    worker: str
    child: subprocess.Popen[bytes]
    log: Path

    def is_connected(self, port: int) -> bool:
        """Has it a connection to the server at `port`?"""
        assert self.child.poll() is None, f"{self.installation.name} {self.worker} ended: {self.said()}"
        own = {_socket_of(link) for link in Path(f"/proc/{self.child.pid}/fd").iterdir()}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(row[2].endswith(f":{port:04X}") and row[9] in own for row in rows)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-2_000:]


def _socket_of(link: Path) -> str:
    """The inode of a socket; empty for another file, or one that was closed meanwhile."""
    try:
        return str(link.readlink()).removeprefix("socket:[").rstrip("]")
    except OSError:
        return ""


@dataclass
class SideBySide:
    """A system, whose processes a test starts and stops."""

    release: RestoredRelease
    database_port: int
    environ: dict[str, str]
    folder: Path
    started_at: datetime
    callback_url: str
    journal: Path
    ports: dict[str, int] = field(default_factory=dict)
    """Installation -> the port of its web process."""
    processes: list[Running] = field(default_factory=list)
    cli: Installation = THIS_TREE
    """Whose command line `document` runs."""

    def now(self) -> datetime:
        """The current time of its clock."""
        return self.release.dump.clock_at + (datetime.now(UTC) - self.started_at) * SPEED

    def environ_of(self, installation: Installation) -> dict[str, str]:
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("GRIDPROOF_", "PYTHON"))
        }
        newer = NEWER_SETTINGS if installation is THIS_TREE else {}
        bind = f"127.0.0.1:{self.port_of(installation)}"
        return outside | self.environ | newer | {"GRIDPROOF_HTTP_BIND": bind, "OPENBLAS_NUM_THREADS": "1"}

    def port_of(self, installation: Installation) -> int:
        return self.ports.setdefault(installation.name, free_port())

    def url_of(self, installation: Installation) -> str:
        return f"http://127.0.0.1:{self.port_of(installation)}"

    # ------------------------------------------------------------------------------------------------ processes

    def start(self, installation: Installation, *workers: str) -> None:
        """Start them, and wait until each has a session of PostgreSQL; the web process, until it is ready."""
        started = [self._spawn(installation, worker) for worker in workers]
        for one in started:
            until(partial(self._works, one), f"{one.worker} of {installation.name} works")

    def stop(self, installation: Installation, *workers: str) -> None:
        """SIGTERM; each ends by itself, with status 0."""
        stopped = [
            one for one in self.processes if one.installation == installation and one.worker in workers
        ]
        assert len(stopped) == len(workers)
        self.processes = [one for one in self.processes if one not in stopped]
        for one in stopped:
            one.child.terminate()
        for one in stopped:
            assert one.child.wait(STOPPED_WITHIN_S) == 0, one.said()

    def replace(self, old: Installation, new: Installation) -> None:
        """One kind of process after the other: the new one starts before the old one ends."""
        running = {one.worker for one in self.processes if one.installation == old}
        for worker in WORKERS:
            if worker in running:
                self._replace(worker, old, new)

    def roll_back(self, new: Installation, old: Installation) -> None:
        """As `replace`, the other way, but for `project`: release 0.1 does not continue a read model or ledger of this
        tree, and its other workers read them. It does not read the partitions of BMS work either: its relay publishes
        for its own dispatch workers, and those of this tree first finish what waits in the partitions."""
        self._replace("relay", new, old)
        until(
            lambda: not self._work_in_partitions(),
            "no BMS work waits in the partitions",
            within_s=DRAINED_WITHIN_S,
        )
        for worker in WORKERS:
            if worker not in ("relay", "project"):
                self._replace(worker, new, old)

    def _replace(self, worker: str, old: Installation, new: Installation) -> None:
        self.start(new, worker)
        self.stop(old, worker)

    def _work_in_partitions(self) -> int:
        async def waiting() -> int:
            client = await connect(self.environ["GRIDPROOF_NATS_URL"], name="upgrades")
            try:
                stream = await client.jetstream().stream_info(BMS_STREAM, subjects_filter=PARTITIONS)
            finally:
                await client.close()
            return sum((stream.state.subjects or {}).values())

        return asyncio.run(waiting())

    def ended(self) -> dict[str, str]:
        """Processes that ended without being told to -> what they said."""
        return {
            f"{one.installation.name} {one.worker}": one.said()
            for one in self.processes
            if one.child.poll() is not None
        }

    def close(self) -> None:
        for one in self.processes:
            one.child.kill()
            one.child.wait()

    def _spawn(self, installation: Installation, worker: str) -> Running:
        log = self.folder / f"{installation.name.replace(' ', '-')}-{worker}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(
                installation.command("worker", worker),
                cwd=installation.folder,
                env=self.environ_of(installation),
                stdout=output,
                stderr=output,
            )
        running = Running(installation, worker, child, log)
        self.processes.append(running)
        return running

    def _works(self, process: Running) -> bool:
        if process.worker != "web":
            return process.is_connected(self.database_port)
        assert process.child.poll() is None, process.said()
        try:
            return httpx.get(f"{self.url_of(process.installation)}/ready", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    # ----------------------------------------------------------------------------------------- what people do

    def run(self, *arguments: object, by: Installation | None = None) -> subprocess.CompletedProcess[str]:
        """`gridproof ARGUMENTS` of a release."""
        installation = by or self.cli
        return subprocess.run(
            installation.command(*arguments),
            cwd=installation.folder,
            env=self.environ_of(installation) | {"COLUMNS": "400"},
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_S,
            check=False,
        )

    def document(self, *arguments: object, by: Installation | None = None) -> Any:
        """The JSON document of a command that succeeds."""
        done = self.run(*arguments, "--json", by=by)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def request(
        self, role: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """With the key that the older release created for that role, to a web process that runs."""
        web = next(one for one in self.processes if one.worker == "web")
        headers = {"Authorization": f"Bearer {self.release.dump.key(role)}"}
        url = self.url_of(web.installation) + path
        return httpx.request(method, url, json=body, headers=headers, timeout=60)

    def get(self, path: str) -> Any:
        answer = self.request("admin", "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()


def _ask_without_limit(portfolio: Path) -> None:
    """The load asks a facility for more DR events than a contract allows."""
    content = json.loads(portfolio.read_text())
    for facility in content["facilities"]:
        facility |= {"dr_events_per_day": MOST_PER_DAY, "dr_events_per_season": MOST_PER_SEASON}
    portfolio.write_text(json.dumps(content))


@contextmanager
def side_by_side(release: RestoredRelease, folder: Path, first: Installation) -> Iterator[SideBySide]:
    """The restored data and the world around it, without any process. `first` registers the world's addresses."""
    clock = {
        "epoch": release.dump.clock_at.isoformat(),
        "started_at": datetime.now(UTC).isoformat(),
        "speed": SPEED,
    }
    with (
        nats_server() as nats,
        valkey_server() as valkey,
        world_process(release, folder, clock, str(nats.meters_mqtt_url)) as world,
    ):
        environ = {name: value for name, value in release.environ.items() if name not in NEWER_SETTINGS}
        environ |= {f"GRIDPROOF_CLOCK_{name.upper()}": str(value) for name, value in clock.items()}
        environ |= {
            **SECRET,
            **GENEROUS,
            **UNBOUNDED,
            "GRIDPROOF_NATS_URL": str(nats.nats_url),
            "GRIDPROOF_MQTT_URL": str(nats.mqtt_url),
            "GRIDPROOF_REDIS_URL": str(valkey.redis_url),
            "GRIDPROOF_WEATHER_URL": world["weather"],
            "GRIDPROOF_ALLOW_PRIVATE_CALLBACKS": "true",
        }
        system = SideBySide(
            release=release,
            database_port=int(httpx.URL(release.database.app_dsn).port or 5432),
            environ=environ,
            folder=folder,
            started_at=datetime.fromisoformat(str(clock["started_at"])),
            callback_url=world["callback"],
            journal=folder / "bms-journal.jsonl",
            cli=first,
        )
        moved = moved_portfolio(world["bms"], release.data / "portfolio.json", folder / "portfolio.json")
        _ask_without_limit(moved)
        system.document("migrate")
        system.document("facilities", "import", moved)
        try:
            yield system
        finally:
            system.close()
