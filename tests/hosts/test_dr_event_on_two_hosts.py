"""A DR event that two worker hosts carry out: one of them vanishes in the middle of a call to a building."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from litestar.types import ASGIApp, Receive, Scope, Send

from domain.dr_event import Batch
from interfaces.simulators.bms.journal import COMMANDED, JournalEntry, curtailed_zones, duplicate_actions
from tests.chaos.small_system import ROOT, SmallSystem, served_buildings
from tests.hosts.database_cluster import DatabaseCluster, database_cluster
from tests.hosts.figures import record
from tests.hosts.nats_cluster import NatsCluster, nats_cluster
from tests.hosts.network import NETWORKS, Host, Network, network
from tests.servers import Database

pytestmark = pytest.mark.hosts
WORKERS = ("project", "decide", "dispatch")
_caller: ContextVar[str] = ContextVar("caller", default="")


class CallerJournal(list[JournalEntry]):
    """The buildings' journal. `strike` is called with the caller's address once, at the first `action`, before the
    building answers."""

    def __init__(self, action: str, strike: Callable[[str], None]) -> None:
        super().__init__()
        self._action = action
        self._strike = strike
        self.struck_at = 0.0

    def append(self, entry: JournalEntry) -> None:
        super().append(entry)
        if entry.action == self._action and not self.struck_at:
            self._strike(_caller.get())
            self.struck_at = time.monotonic()


def with_caller(app: ASGIApp) -> ASGIApp:
    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        _caller.set(client[0] if client else "")
        await app(scope, receive, send)

    return called


@dataclass
class SystemOnHosts(SmallSystem):
    """Each worker once on each host; `_processes` are named WORKER@HOST."""

    hosts: tuple[Host, ...] = field(default=())

    def start_processes(self) -> None:
        for host in self.hosts:
            for worker in WORKERS:
                self._start(f"{worker}@{host.number}")

    def _start(self, name: str) -> None:
        worker, _, number = name.partition("@")
        host = next(one for one in self.hosts if one.number == int(number))
        command = [sys.executable, "-m", "interfaces.cli", "worker", worker]
        self._processes[name] = host.start(
            command, log=self.folder / f"{name}.log", env=self._environment(worker), cwd=ROOT
        )

    def _environment(self, name: str) -> dict[str, str]:
        return super()._environment(name) | {"GRIDPROOF_BMS_NETWORKS": NETWORKS}

    @property
    def alive(self) -> dict[str, subprocess.Popen[bytes]]:
        return {name: process for name, process in self._processes.items() if process.poll() is None}


@pytest.fixture(scope="module")
def lan() -> Iterator[Network]:
    with network(4) as built:
        yield built


@pytest.fixture(scope="module")
def clusters(lan: Network, folder: Path) -> Iterator[tuple[DatabaseCluster, NatsCluster]]:
    client, one, *_ = lan.hosts
    with database_cluster([one], client, folder) as database, nats_cluster([one], client, folder) as nats:
        yield database, nats


@pytest.fixture
def servers(clusters: tuple[DatabaseCluster, NatsCluster]) -> tuple[Database, str]:
    """A fresh database: each test has a clock of its own."""
    database, nats = clusters
    database.create_database()
    database.migrate()
    return Database("gridproof", database.app_dsn, database.owner_dsn, database.dsn()), nats.url


@pytest.mark.parametrize("action", ["prepare", "commit", "restore"])
def test_commands_of_a_vanished_host_are_carried_out_once(
    lan: Network, servers: tuple[Database, str], tmp_path: Path, action: str
) -> None:
    """The host is cut off before the building has answered: its outcome is unknown there, and the other host asks."""
    lan[0].call(lambda: carry_out(lan, servers, tmp_path, action))


def carry_out(lan: Network, servers: tuple[Database, str], folder: Path, action: str) -> None:
    client, _, *hosts = lan.hosts
    vanished: list[Host] = []

    def strike(address: str) -> None:
        vanished.extend(host for host in hosts if host.address == address)
        for host in vanished:
            host.cut()

    journal = CallerJournal(action, strike)
    system = SystemOnHosts(*servers, folder, "", journal=journal, hosts=tuple(hosts))
    with (
        contextlib.closing(system),
        served_buildings(system, bind=f"{client.address}:0", around=with_caller) as bms_url,
    ):
        system.accept(bms_url)
        system.start_processes()
        system.until_scheduled()
        system.prepare()
        system.start()
        system.end()
        over_s = time.monotonic() - journal.struck_at
        assert len(vanished) == 1
        vanished[0].heal()
        assert len(system.alive) == len(hosts) * len(WORKERS)
        assert system.dr_event.batch == Batch(asked=2, prepared=2, committed=2, failed=0, restored=2)
        assert duplicate_actions(system.journal) == {}
        for facility_id in system.facility_ids:
            done = [entry.action for entry in system.journal if entry.facility_id == facility_id]
            assert [one for one in done if one in COMMANDED] == ["prepare", "commit", "restore"]
        assert curtailed_zones(system.journal, system.clock.now()) == set()
        record(f"a worker host cut off during a {action}", until_the_dr_event_was_over=over_s)
