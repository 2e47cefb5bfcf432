"""The whole demo on a PostgreSQL of three hosts, whose primary is lost in each phase of the DR event."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.phases import PHASES, keeps_its_promises
from tests.demo_runs import run_demo_with_listener
from tests.hosts.database_cluster import DatabaseCluster, database_cluster
from tests.hosts.figures import record
from tests.hosts.network import Host, network

pytestmark = pytest.mark.hosts
SPEED = 10
"""A phase lasts a minute at least: a failover, and the return of the old primary."""
LONGEST_S = 1_800.0
AWAY_S = 5.0
"""How long the old primary's host stays away after the new one was found."""


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[DatabaseCluster]:
    with network(4) as lan, database_cluster(lan.hosts[1:], lan[0], folder) as started:
        yield started


class Outages:
    """Follows a demo's output, and takes the primary's host away at the beginning of each phase."""

    def __init__(self, cluster: DatabaseCluster, data_dir: Path, what: str) -> None:
        self._cluster = cluster
        self._data_dir = data_dir
        self._lose, self._return = WAYS[what]
        self._coming = deque(PHASES)
        self._pool = ThreadPoolExecutor(1)
        self._under_way: list[Future[None]] = []
        self.failovers: dict[str, tuple[float, float]] = {}
        """Phase -> seconds until a new primary, and from the return of the host until the cluster was whole."""

    def heard(self, _: int, line: str) -> None:
        while self._coming and self._coming[0].said in line:
            phase = self._coming.popleft()
            self._under_way.append(self._pool.submit(self._strike, phase.name, phase.there))

    def _strike(self, phase: str, there: Callable[[Path], bool]) -> None:
        while not there(self._data_dir):
            time.sleep(0.02)
        old = self._cluster.primary
        assert old is not None
        self._lose(old)
        found_s = self._cluster.wait_for_primary(other_than=old)
        time.sleep(AWAY_S)
        self._return(self._cluster, old)
        self.failovers[phase] = (found_s, self._cluster.wait_until_whole())

    def finish(self) -> None:
        """Wait for the last one. Raises what failed."""
        for one in self._under_way:
            one.result(LONGEST_S)
        self._pool.shutdown()


def _boot(cluster: DatabaseCluster, host: Host) -> None:
    host.boot()
    cluster.boot(host)


WAYS: dict[str, tuple[Callable[[Host], None], Callable[[DatabaseCluster, Host], None]]] = {
    "without power": (lambda host: host.power_off(), _boot),
    "cut off": (lambda host: host.cut(), lambda _, host: host.heal()),
}


@pytest.mark.parametrize("what", WAYS)
def test_losing_the_primary_in_each_phase_does_not_change_the_outcome(
    cluster: DatabaseCluster, folder: Path, what: str
) -> None:
    cluster.create_database()
    data = folder / f"demo {what}".replace(" ", "-")
    outages = Outages(cluster, data, what)
    run = run_demo_with_listener(
        *("--facilities", "5", "--speed", str(SPEED), "--servers-of-settings"),
        data_dir=data,
        heard=outages.heard,
        longest_s=LONGEST_S,
        settings={
            "GRIDPROOF_DATABASE_URL": cluster.app_dsn,
            "GRIDPROOF_MIGRATION_DATABASE_URL": cluster.owner_dsn,
        },
        prefix=cluster.client.prefix,
    )
    outages.finish()
    assert list(outages.failovers) == [phase.name for phase in PHASES], run.said
    keeps_its_promises(run)
    assert run.document["facilities"] == {"asked": 4, "committed": 2, "failed": 2, "restored": 2}
    for phase, (found_s, whole_s) in outages.failovers.items():
        record(f"demo, {phase}, the primary's host {what}", new_primary=found_s, whole_again=whole_s)
