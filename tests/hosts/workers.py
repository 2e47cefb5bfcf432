"""Processes of Gridproof on hosts, and the locks that they hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.demo_runs import ROOT
from tests.hosts.database_cluster import DatabaseCluster
from tests.hosts.nats_cluster import NatsCluster
from tests.hosts.network import NETWORKS, Host

TURNS_WITHIN_S = 60.0
STARTED_WITHIN_S = 120.0
LOCKS = b"""
SELECT host(a.client_addr), split_part(a.application_name, '/', 1), l.classid::bigint, l.objid::bigint
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock' AND a.datname = 'gridproof'
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
            data = self.folder / f"worker-{host.number}"
            data.mkdir(exist_ok=True)
            self.processes[host.number, worker] = host.start(
                [sys.executable, "-m", "interfaces.cli", "worker", worker],
                log=data / f"{worker}.log",
                env=self._environment(data),
                cwd=ROOT,
            )

    def _environment(self, data: Path) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
        return {
            **ours,
            "GRIDPROOF_DATA_DIR": str(data),
            "GRIDPROOF_DATABASE_URL": self.database.app_dsn,
            "GRIDPROOF_NATS_URL": self.nats.url,
            "GRIDPROOF_NATS_REPLICAS": str(self.nats.replicas),
            "GRIDPROOF_BMS_NETWORKS": NETWORKS,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **self.settings,
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

    def ended(self) -> dict[tuple[int, str], int]:
        """The processes that ended, with their status."""
        return {key: child.returncode for key, child in self.processes.items() if child.poll() is not None}

    def _logs(self) -> dict[str, str]:
        return {
            f"{path.parent.name}/{path.stem}": path.read_text(errors="replace")[-1_500:]
            for path in sorted(self.folder.glob("worker-*/*.log"))
        }
