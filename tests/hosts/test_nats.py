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
from typing import Protocol
from uuid import UUID, uuid4

import nats.errors
import pytest

from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.nats.work_queue import NatsWorkQueue
from application.ports.dispatch.work_queue import BmsWork, CallbackWork, WorkQueueUnavailable
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
NAMES = ("TELEMETRY", "BMS_WORK", "CALLBACK_WORK")


class Publish(Protocol):
    async def __call__(self, number: int) -> None:
        """Publish message `number`. Raises WorkQueueUnavailable or StreamUnavailable."""
        ...


@dataclass
class Publisher:
    """Publishes one message after the other to a stream, each until it is acknowledged."""

    cluster: NatsCluster
    stream: str
    acknowledged: list[float] = field(default_factory=list)
    """When, in order."""

    def running(self) -> AbstractContextManager[None]:
        return self.cluster.client.running(lambda stop: asyncio.run(self._publish(stop)))

    async def _publish(self, stop: Event) -> None:
        client = await connect(self.cluster.url, name="publisher")
        queue = await self._work_queue()
        publish = self._to(NatsTelemetryStream(client, replicas=self.cluster.replicas), queue)
        while not stop.is_set():
            try:
                await publish(len(self.acknowledged))
            except (StreamUnavailable, WorkQueueUnavailable):
                await asyncio.sleep(0.1)
                continue
            self.acknowledged.append(time.monotonic())
            await asyncio.sleep(0.005)
        await queue.aclose()
        await client.close()

    async def _work_queue(self) -> NatsWorkQueue:
        while True:  # as every worker does
            try:
                return await NatsWorkQueue.connect(
                    self.cluster.url, redelivery_s=2.0, name="work", replicas=self.cluster.replicas
                )
            except WorkQueueUnavailable:
                await asyncio.sleep(0.1)

    def _to(self, log: NatsTelemetryStream, queue: NatsWorkQueue) -> Publish:
        run = uuid4().hex

        async def reading(number: int) -> None:
            await log.publish(number % PARTITIONS, b"%d" % number, message_id=f"{run}-{number}")

        async def command(number: int) -> None:
            await queue.publish_bms(bms_work(f"fac-{number % 50}"), message_id=f"{run}-{number}")

        async def callback(number: int) -> None:
            await queue.publish_callback(
                callback_work(f"utility-{number % 50}"), message_id=f"{run}-{number}"
            )

        return {"TELEMETRY": reading, "BMS_WORK": command, "CALLBACK_WORK": callback}[self.stream]

    def wait_for_more(self) -> None:
        """Until MESSAGES more were acknowledged."""
        wanted, deadline = len(self.acknowledged) + MESSAGES, time.monotonic() + FAILOVER_WITHIN_S
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"{self.stream}: {self.cluster.described()}"
            time.sleep(0.05)

    def longest_gap_s(self) -> float:
        return max(later - earlier for earlier, later in pairwise(self.acknowledged))


def bms_work(facility_id: str) -> BmsWork:
    return BmsWork(
        task="command",
        dr_event_id=UUID(int=1),
        facility_id=facility_id,
        command_id=UUID(int=2),
        correlation_id=UUID(int=3),
        causation_id=UUID(int=4),
        tenant=None,
        trace_id="0" * 32,
    )


def callback_work(utility_id: str) -> CallbackWork:
    return CallbackWork(
        dr_event_id=UUID(int=1),
        callback_id=UUID(int=2),
        kind="accepted",
        utility_id=utility_id,
        url="http://utility.example",
        body="{}",
        correlation_id=UUID(int=3),
        causation_id=UUID(int=4),
        trace_id="0" * 32,
    )


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
@pytest.mark.parametrize("stream", NAMES)
def test_a_stream_outlives_its_leader(
    cluster: NatsCluster, stream: str, fault: Callable[[NatsCluster, Host], None]
) -> None:
    """Each message is published until it is acknowledged: all are there, and none is there twice."""
    publisher = Publisher(cluster, stream)
    before = cluster.messages(stream)
    with publisher.running():
        publisher.wait_for_more()
        leader = cluster.leader_of(stream)
        try:
            fault(cluster, leader)
            publisher.wait_for_more()
            assert cluster.leader_of(stream) is not leader
            assert f"{stream} has 2 of 3 replicas (not n{leader.number})" in doctor_says(cluster)
        finally:  # the next test uses the same cluster
            restart(cluster, leader)
        whole_s = cluster.wait_until_whole()
        publisher.wait_for_more()
    assert cluster.messages(stream) - before == len(publisher.acknowledged)
    record(
        f"the leader of {stream} {fault.__name__}", longest_gap=publisher.longest_gap_s(), whole_again=whole_s
    )
