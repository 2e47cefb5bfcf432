"""A worker host is cut off: another one takes over its locks, partitions and projections, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from interfaces.bootstrap import open_stores, verify_read_models
from interfaces.settings.settings import read_settings
from tests.hosts.database_cluster import DatabaseCluster
from tests.hosts.figures import record
from tests.hosts.network import Host, Network, network
from tests.hosts.workers import STARTED_WITHIN_S, TURNS_WITHIN_S, WorkerHosts, worker_hosts
from tests.hosts.writers import CommandWriter

WORKERS = ("project", "decide", "aggregate")
SAVES = 20


@pytest.fixture
def lan() -> Iterator[Network]:
    with network(4) as built:
        yield built


@pytest.fixture
def workers(lan: Network, folder: Path) -> Iterator[WorkerHosts]:
    """Hosts 2 and 3 share the work; the servers are on host 1."""
    client, servers, *hosts = lan.hosts
    with worker_hosts(client, [servers], folder) as started:
        for host in hosts:
            started.start(host, *WORKERS)
            started.wait("locks", lambda: started.held_by(host) != set(), STARTED_WITHIN_S)  # noqa: B023
        yield started


def test_the_other_host_takes_everything_over(lan: Network, workers: WorkerHosts) -> None:
    *_, one, other = lan.hosts
    writer = CommandWriter(lan[0], workers.database.app_dsn)
    with writer.running():
        writer.wait_for(SAVES, within_s=STARTED_WITHIN_S)
        locks = workers.held_by(one) | workers.held_by(other)
        vanished, survivor = sorted((one, other), key=lambda host: -len(workers.held_by(host)))
        vanished.cut()
        taken_s = workers.wait("takeover", lambda: workers.held_by(survivor) >= locks, TURNS_WITHIN_S)
        writer.wait_for(len(writer.acknowledged) + SAVES, within_s=TURNS_WITHIN_S)
        vanished.heal()
        back_s = workers.wait("partition", lambda: workers.held_by(vanished) != set(), TURNS_WITHIN_S)
    assert workers.ended() == {}
    assert writer.lost() == set()
    assert unequal_read_models(lan[0], workers.database) == ()
    record("a worker host cut off", locks_taken_over=taken_s, works_again_after_the_heal=back_s)


def unequal_read_models(client: Host, database: DatabaseCluster) -> tuple[str, ...]:
    """The read models that differ from a fresh fold of the log."""

    def compare() -> tuple[str, ...]:
        settings = read_settings({"GRIDPROOF_DATABASE_URL": database.app_dsn})
        with closing(open_stores(settings, pool_size=1)) as stores:
            return tuple(map(str, verify_read_models(stores)))

    return client.call(compare)
