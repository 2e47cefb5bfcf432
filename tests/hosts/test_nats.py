"""Streams of three replicas outlive their leader, killed, cut off or drained: nothing is lost, and nothing is twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event
from uuid import uuid4

import nats.errors
import pytest

from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import STREAM, NatsTelemetryStream
from application.ports.telemetry.stream import StreamUnavailable
from domain.telemetry.meter_reading import PARTITIONS
from interfaces.bootstrap.doctor import checks
from interfaces.bootstrap.doctor.result import CheckFailed
from tests.hosts.database_cluster import FAILOVER_WITHIN_S
from tests.hosts.figures import record
from tests.hosts.nats_cluster import NatsCluster, nats_cluster
from tests.hosts.network import Host, network

pytestmark = pytest.mark.hosts
MESSAGES = 200


@dataclass
class Publisher:
    """Publishes one batch after the other to the telemetry log, each until it is acknowledged."""

    cluster: NatsCluster
    acknowledged: list[float] = field(default_factory=list)
    """When, in order."""

    def running(self) -> AbstractContextManager[None]:
        return self.cluster.client.running(lambda stop: asyncio.run(self._publish(stop)))

    async def _publish(self, stop: Event) -> None:
        client, run = await connect(self.cluster.url, name="publisher"), uuid4().hex
        log = NatsTelemetryStream(client, replicas=self.cluster.replicas)
        while not stop.is_set():
            number = len(self.acknowledged)
            try:
                await log.publish(number % PARTITIONS, b"%d" % number, message_id=f"{run}-{number}")
            except StreamUnavailable:
                await asyncio.sleep(0.1)
                continue
            self.acknowledged.append(time.monotonic())
            await asyncio.sleep(0.005)
        await client.close()

    def wait_for_more(self) -> None:
        """Until MESSAGES more were acknowledged."""
        wanted, deadline = len(self.acknowledged) + MESSAGES, time.monotonic() + FAILOVER_WITHIN_S
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"{self.cluster.described()}"
            time.sleep(0.05)

    def longest_gap_s(self) -> float:
        return max(later - earlier for earlier, later in pairwise(self.acknowledged))


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[NatsCluster]:
    with network(4) as lan, nats_cluster(lan.hosts[1:], lan[0], folder) as started:
        yield started


def kill(cluster: NatsCluster, leader: Host) -> None:
    cluster.kill(leader)


def cut_off(cluster: NatsCluster, leader: Host) -> None:
    leader.cut()


def drain(cluster: NatsCluster, leader: Host) -> None:
    cluster.drain(leader)


def restart(cluster: NatsCluster, host: Host) -> None:
    host.heal()
    if cluster.has_ended(host):
        cluster.boot(host)


def doctor_says(cluster: NatsCluster) -> str:
    """Its finding about the streams, once there is one."""
    deadline = time.monotonic() + FAILOVER_WITHIN_S
    while time.monotonic() < deadline:
        try:
            cluster.client.call(lambda: asyncio.run(checks._nats(cluster.url, cluster.replicas)))
        except CheckFailed as finding:
            return str(finding)
        except (nats.errors.Error, OSError, TimeoutError):
            pass
        time.sleep(0.2)
    return "all is well"


@pytest.mark.parametrize("fault", [kill, cut_off, drain], ids=["killed", "cut off", "drained"])
def test_a_stream_outlives_its_leader(
    cluster: NatsCluster, fault: Callable[[NatsCluster, Host], None]
) -> None:
    """Each batch is published until it is acknowledged: all are there, and none is there twice."""
    publisher = Publisher(cluster)
    before = cluster.messages(STREAM)
    with publisher.running():
        publisher.wait_for_more()
        leader = cluster.leader_of(STREAM)
        try:
            fault(cluster, leader)
            publisher.wait_for_more()
            assert cluster.leader_of(STREAM) is not leader
            assert f"{STREAM} has 2 of 3 replicas (not n{leader.number})" in doctor_says(cluster)
        finally:  # the next test uses the same cluster
            restart(cluster, leader)
        whole_s = cluster.wait_until_whole()
        publisher.wait_for_more()
    assert cluster.messages(STREAM) - before == len(publisher.acknowledged)
    record(
        f"the leader of {STREAM} {fault.__name__}", longest_gap=publisher.longest_gap_s(), whole_again=whole_s
    )
