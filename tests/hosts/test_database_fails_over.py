"""The host of the primary is cut off or loses its power: nothing that was acknowledged is lost, and it comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts.database_cluster import FAILOVER_WITHIN_S, DatabaseCluster, database_cluster
from tests.hosts.figures import record
from tests.hosts.network import network
from tests.hosts.writers import CommandWriter, RowWriter

SAVES = 50
FRAME_TAKES_S = 0.05


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[DatabaseCluster]:
    with network(4) as lan, database_cluster(lan.hosts[1:], lan[0], folder) as started:
        started.migrate()
        yield started


@contextmanager
def commands_recorded(cluster: DatabaseCluster) -> Iterator[CommandWriter]:
    """Commands are recorded throughout the block, and none that was acknowledged is lost."""
    writer = CommandWriter(cluster.client, cluster.app_dsn)
    with writer.running():
        writer.wait_for(SAVES, within_s=FAILOVER_WITHIN_S)
        yield writer
    assert writer.lost() == set()


def test_a_cut_off_primary_is_fenced_and_comes_back_by_itself(cluster: DatabaseCluster) -> None:
    """With a client on either side of the cut: what the old primary acknowledged is not lost either."""
    old = cluster.primary
    assert old is not None
    cluster.client.call(lambda: cluster.connect().execute("CREATE TABLE inside (number bigint PRIMARY KEY)"))
    insider = RowWriter(old, cluster.dsn(hosts=[old]))
    with insider.running(), commands_recorded(cluster) as writer:
        old.cut()
        began = time.monotonic()
        again_s = writer.wait_for(SAVES, after=began, within_s=FAILOVER_WITHIN_S)
        cluster.wait_for_primary(other_than=old)
        assert not cluster.says_it_is_primary(old, to=old)
        assert not cluster.accepts_writes(old)
        old.heal()
        back_s = cluster.wait_until_whole()
    assert cluster.primary is not old
    assert insider.acknowledged != []
    with cluster.client.call(cluster.connect) as connection:
        stored = {number for (number,) in connection.execute("SELECT number FROM inside")}
    assert set(insider.acknowledged) <= stored
    record("the primary's host cut off", writes_again=again_s, whole_after_the_heal=back_s)


@pytest.mark.hosts
def test_a_primary_that_lost_its_power_is_replaced_and_rejoins_at_its_boot(cluster: DatabaseCluster) -> None:
    old = cluster.primary
    assert old is not None
    with commands_recorded(cluster) as writer:
        old.power_off()
        began = time.monotonic()
        again_s = writer.wait_for(SAVES, after=began, within_s=FAILOVER_WITHIN_S)
        old.boot()
        cluster.boot(old)
        back_s = cluster.wait_until_whole()
    assert cluster.primary is not old
    record("the primary's host without power", writes_again=again_s, whole_after_the_boot=back_s)


@pytest.mark.hosts
def test_a_planned_switchover_loses_nothing(cluster: DatabaseCluster) -> None:
    """As before maintenance of the primary's host: its commands wait, and none fails for good."""
    cluster.wait_until_whole()
    old = cluster.primary
    assert old is not None
    with commands_recorded(cluster) as writer:
        began = time.monotonic()
        cluster.switch_over()
        cluster.wait_for_primary(other_than=old)
        writer.wait_for(SAVES, after=time.monotonic(), within_s=FAILOVER_WITHIN_S)
        cluster.wait_until_whole()
    assert cluster.primary is not old
    record("a planned switchover", longest_without_a_record=writer.longest_pause_s(since=began))


@pytest.mark.hosts
def test_standbys_far_away_delay_commands_and_end_none(cluster: DatabaseCluster) -> None:
    """Each commit waits for the synchronous standby, and the primary stays."""
    cluster.wait_until_whole()
    primary = cluster.primary
    assert primary is not None
    with commands_recorded(cluster) as writer:
        for host in set(cluster.hosts) - {primary}:
            host.delay(FRAME_TAKES_S)
        slow_s = writer.wait_for(SAVES, after=time.monotonic(), within_s=FAILOVER_WITHIN_S)
        for host in cluster.hosts:
            host.heal()
        writer.wait_for(SAVES, after=time.monotonic(), within_s=FAILOVER_WITHIN_S)
    assert slow_s > (SAVES - 1) * 2 * FRAME_TAKES_S, "to the standby and back"
    assert cluster.primary is primary
    record("standbys 0.05 s away", of_a_command=slow_s / SAVES)
