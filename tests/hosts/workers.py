"""Processes of Gridproof on hosts, and the locks that they hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.demo_runs import ROOT
from tests.hosts.database_cluster import DatabaseCluster, database_cluster
from tests.hosts.nats_cluster import NatsCluster, nats_cluster
from tests.hosts.network import NETWORKS, Host
from tests.patience import END_S, START_S

TURNS_WITHIN_S = STARTED_WITHIN_S = START_S
ENDED_WITHIN_S = END_S
HTTP = 8080
NEWEST_SESSION = b"""
SELECT max(backend_start) FROM pg_stat_activity WHERE client_addr = %s::inet AND datname = 'gridproof'
"""
LOCKS = b"""
SELECT host(a.client_addr), split_part(a.application_name, '/', 1), l.classid::bigint, l.objid::bigint
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock' AND a.datname = 'gridproof'
  AND NOT starts_with(a.application_name, 'gridproof pool')  -- locks of a transaction, which end with it
"""


@dataclass(frozen=True)
class Lock:
    """An advisory lock, and the application name of the session that holds it without the process."""

    purpose: str
    class_id: int
    key: int


@dataclass
class WorkerHosts:
    """Starts `gridproof worker NAME` on hosts."""

    database: DatabaseCluster
    nats: NatsCluster
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    processes: dict[tuple[int, str], subprocess.Popen[bytes]] = field(default_factory=dict)
    """By host number and worker."""

    def start(self, host: Host, *workers: str) -> None:
        for worker in workers:
            logs = self.folder / f"worker-{host.number}"
            logs.mkdir(exist_ok=True)
            self.processes[host.number, worker] = host.start(
                [sys.executable, "-m", "interfaces.cli", "worker", worker],
                log=logs / f"{worker}.log",
                env=self._environment(host),
                cwd=ROOT,
            )

    def restart(self, host: Host, worker: str) -> None:
        """End it by SIGTERM, and start it again. Returns when it has a session at PostgreSQL."""
        ending = self.processes[host.number, worker]
        ending.terminate()
        assert ending.wait(ENDED_WITHIN_S) == 0, f"{worker} ended with {ending.returncode}; {self._logs()}"
        newest = self._newest_session(host)
        self.start(host, worker)
        self.wait(worker, lambda: self._newest_session(host) != newest, STARTED_WITHIN_S)

    def _newest_session(self, host: Host) -> str:
        """When it began."""

        def read() -> str:
            with self.database.connect("gridproof") as connection:
                row = connection.execute(NEWEST_SESSION, (host.address,)).fetchone()
            assert row is not None
            return str(row[0])

        return self.database.client.call(read)

    @property
    def settings_of_all(self) -> dict[str, str]:
        """The settings that all hosts share."""
        return {
            # A disk that all hosts share: for the archive, and the key of the ledger.
            "GRIDPROOF_DATA_DIR": str(self.folder / "data"),
            "GRIDPROOF_DATABASE_URL": self.database.app_dsn,
            "GRIDPROOF_NATS_URL": self.nats.url,
            "GRIDPROOF_NATS_REPLICAS": str(self.nats.replicas),
            "GRIDPROOF_BMS_NETWORKS": NETWORKS,
            **self.settings,
        }

    def _environment(self, host: Host) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
        return {
            **ours,
            **self.settings_of_all,
            "GRIDPROOF_HTTP_BIND": f"{host.address}:{HTTP}",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def held_by(self, host: Host) -> set[Lock]:
        with_address = self._locks()
        return {lock for address, lock in with_address if address == host.address}

    def _locks(self) -> list[tuple[str, Lock]]:
        def read() -> list[tuple[str, Lock]]:
            with self.database.connect("gridproof") as connection:
                rows = connection.execute(LOCKS).fetchall()
            return [(address, Lock(purpose, class_id, key)) for address, purpose, class_id, key in rows]

        return self.database.client.call(read)

    def wait(self, what: str, condition: Callable[[], bool], within_s: float) -> float:
        """Seconds until the condition holds."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < within_s, f"no {what}; ended: {self.ended()}; {self._logs()}"
            time.sleep(0.1)
        return time.monotonic() - began

    def says(self, host: Host, worker: str) -> str:
        """Its log."""
        return (self.folder / f"worker-{host.number}" / f"{worker}.log").read_text(errors="replace")

    def ended(self) -> dict[tuple[int, str], int]:
        """The processes that ended, with their status."""
        return {key: child.returncode for key, child in self.processes.items() if child.poll() is not None}

    def _logs(self) -> dict[str, str]:
        return {
            f"{path.parent.name}/{path.stem}": path.read_text(errors="replace")[-1_500:]
            for path in sorted(self.folder.glob("worker-*/*.log"))
        }


@contextmanager
def worker_hosts(
    client: Host, servers: Sequence[Host], folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[WorkerHosts]:
    """The first of `servers` runs PostgreSQL, all of them NATS; no worker is started yet."""
    with (
        database_cluster(servers[:1], client, folder) as database,
        nats_cluster(servers, client, folder) as nats,
    ):
        database.migrate()
        yield WorkerHosts(database, nats, folder, settings or {})
