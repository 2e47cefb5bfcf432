"""BMS work on JetStream: where it is published, and its 64 partitions, each with a durable pull consumer (ADR 0095).

A consumer of a work-queue stream has the replicas of its stream, so each one is a Raft group in a cluster. Hence their
number must not grow with that of the buildings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo

from adapters.nats.pull_inbox import PullInbox
from application.async_batcher import AsyncBatcher
from application.ports.dispatch.work_queue import bms_partition_of

BMS_STREAM, BMS_SUBJECT = "BMS_WORK", "bms.work"
PARTITION = "p"
"""The token of a subject behind which the number of a partition follows: `bms.work.p.N.FACILITY`."""
CONSUMER = "bms_partition_"
"""The consumer of one partition. No facility's consumer of release 5ac5b021 begins so: those are `bms-FACILITY`."""
FORMER_CONSUMER = "bms-"
IN_HAND = 1_000
"""Deliveries of one partition that are not done, at most: what waits behind a slow building must leave room for the
others."""
BATCH = 64
ORDER = {"gridproof-bms-work": "partitions"}
"""Metadata of the stream, from when on a dispatch worker consumes the partitions. Until then work is published for the
dispatch workers of release 5ac5b021, which consume only `bms.work.FACILITY`."""
RETIRE_EVERY_S = 10.0
_PAGE = 256


def partition_subject(facility_id: str) -> str:
    return f"{BMS_SUBJECT}.{PARTITION}.{bms_partition_of(facility_id)}.{facility_id}"


def former_subject(facility_id: str) -> str:
    return f"{BMS_SUBJECT}.{facility_id}"


def facility_of(subject: str) -> str:
    """A facility id has no dots, so it is the last token of either subject."""
    return subject.rpartition(".")[2]


def consumer_config(
    durable: str, subject: str, *, redelivery_s: float, at_once: int, in_memory: bool = True
) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=durable,
        filter_subject=subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=redelivery_s,
        max_ack_pending=at_once,
        max_deliver=-1,  # the worker limits its attempts and records their result
        mem_storage=in_memory
        or None,  # the stream holds the pending work, so a consumer of BMS work needs no file
    )


@dataclass
class BmsPartitions:
    """The partitions that this process consumes. Errors are those of the client."""

    client: Client
    jetstream: JetStreamContext
    redelivery_s: float

    def __post_init__(self) -> None:
        self._inboxes: dict[int, PullInbox] = {}

    async def take_over(self, partition: int) -> None:
        """A new consumer delivers at once, in the order of the stream, whatever is not done. The earlier one had a
        request of its worker, which may be dead, and deliveries that wait for their redelivery."""
        await self.release(partition)
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await self.jetstream.delete_consumer(BMS_STREAM, f"{CONSUMER}{partition}")
        await self._add_consumer(partition)
        self._inboxes[partition] = PullInbox(self.client, BMS_STREAM, f"{CONSUMER}{partition}")

    async def next(self, partition: int, wait_s: float) -> list[Msg]:
        if not self.client.is_connected:
            raise nats.errors.ConnectionReconnectingError
        try:
            deliveries = await self._inboxes[partition].pull(BATCH, wait_s)
        except nats.js.errors.NoStreamResponseError:  # a server that was restarted has no consumer in memory
            await self._add_consumer(partition)
            return []
        return [delivery.message for delivery in deliveries]

    async def release(self, partition: int) -> None:
        inbox = self._inboxes.pop(partition, None)
        if inbox is not None:
            await inbox.aclose()

    async def _add_consumer(self, partition: int) -> None:
        config = consumer_config(
            f"{CONSUMER}{partition}",
            f"{BMS_SUBJECT}.{PARTITION}.{partition}.>",
            redelivery_s=self.redelivery_s,
            at_once=IN_HAND,
        )
        await self.jetstream.add_consumer(BMS_STREAM, config)


class FormerBmsWork:
    """The work under the subjects `bms.work.FACILITY`, each with a consumer `bms-FACILITY` (release 5ac5b021).

    A work-queue stream refuses consumers whose subjects overlap. So whoever reads a subject uses its one consumer,
    together with the dispatch workers of that release. Errors are those of the client.
    """

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream
        self._first: AsyncBatcher[None, float] = AsyncBatcher(self._find_first, key=lambda _: None)
        self._retire_at = 0.0

    async def facilities(self) -> frozenset[str]:
        """The facilities that have such work, as of now."""
        info = await self._jetstream.stream_info(BMS_STREAM, subjects_filter=former_subject("*"))
        return frozenset(map(facility_of, info.state.subjects or ()))

    async def any_before(self, sequence: int) -> bool:
        """Whether there is such work of any facility before that place of the stream. Questions of the same moment
        share the answer. It is asked for each piece of work, so it does not have the facilities listed."""
        return await self._first.get(None) < sequence

    async def is_before(self, subject: str, sequence: int) -> bool:
        """Whether the first message of `subject` is before that place of the stream."""
        return await self._first_of(subject) < sequence

    async def retire_consumers(self, partitions: Collection[int]) -> None:
        """Delete consumers without work that nobody asks. A dispatch worker of that release makes its own again."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._retire_at:
            return
        self._retire_at = now_s + RETIRE_EVERY_S
        for consumer in await self._consumers():
            facility_id = consumer.name.removeprefix(FORMER_CONSUMER)
            if _is_idle(consumer) and bms_partition_of(facility_id) in partitions:
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await self._jetstream.delete_consumer(BMS_STREAM, consumer.name)

    async def _find_first(self, requests: Sequence[None]) -> list[float]:
        return [await self._first_of(former_subject("*"))] * len(requests)

    async def _first_of(self, subject: str) -> float:
        """The place of its first message in the stream; infinite without one."""
        try:
            message = await self._jetstream.get_msg(BMS_STREAM, seq=1, subject=subject, next=True)
        except nats.js.errors.NotFoundError:
            return inf
        return inf if message.seq is None else message.seq

    async def _consumers(self) -> list[ConsumerInfo]:
        found: list[ConsumerInfo] = []
        while True:
            page = await self._jetstream.consumers_info(BMS_STREAM, offset=len(found))
            found += page
            if len(page) < _PAGE:
                return [consumer for consumer in found if consumer.name.startswith(FORMER_CONSUMER)]


def _is_idle(consumer: ConsumerInfo) -> bool:
    return not (consumer.num_pending or consumer.num_ack_pending or consumer.num_waiting)
