"""The work queue on JetStream: a work-queue stream per kind of work, a durable pull consumer per partition of BMS work
and per utility."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from uuid import UUID

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType

from adapters.nats.bms_work import (
    BMS_STREAM,
    BMS_SUBJECT,
    FORMER_CONSUMER,
    ORDER,
    BmsPartitions,
    FormerBmsWork,
    consumer_config,
    facility_of,
    former_subject,
    partition_subject,
)
from adapters.nats.connection import connect
from adapters.nats.stream_setup import set_up_stream
from adapters.nats.work_items import (
    ANSWER_WITHIN_S,
    FAILURES,
    NatsBmsWorkItem,
    NatsWorkItem,
    unavailable,
)
from application.command_bus.spans import TracedWork, traced
from application.command_bus.trace_context import queued_span_id_of, span_id_of
from application.ports.dispatch.work_queue import (
    BmsWork,
    BmsWorkItem,
    CallbackWork,
    WorkItem,
    WorkQueueFull,
    WorkQueueUnavailable,
    WorkRejected,
    WorkShareFull,
    bms_partition_of,
    callback_id_of,
    encode_work,
)

CALLBACK_STREAM, CALLBACK_SUBJECT = "CALLBACK_WORK", "callback.work"
CALLBACK_CONSUMER = "notify"
"""Of release 4cd57d2: one for the callbacks of all utilities. The consumer of one utility is `notify-UTILITY`."""
CALLBACKS_AT_ONCE = 10_000
"""The maximum of unacknowledged deliveries, including those returned for later. The worker limits how many calls it
makes at once."""
CALLBACK_SHARE = 500
"""The callbacks that may wait for one utility. An operator may give the stream another limit for each subject."""
IDLE_CONSUMER_S = 300.0
"""A consumer of a utility that no worker asks for so long is removed, so that an older release can make its own."""
DUPLICATE_WINDOW_S = 600.0
MAX_BYTES = 256 * 1024 * 1024
STORE_FAILED, MESSAGE_TOO_LARGE = 10077, 10054
"""JetStream's error codes for a full stream with the discard policy "new", and for a message over its limit."""
CONNECT_WITHIN_S = 10.0
OF_ONE_SUBJECT = "per subject"
"""In JetStream's description where the limit of one subject is reached, and not that of the whole stream."""
FORMER_WAIT_S = 0.5
"""For the answer whether a facility has work of an earlier release that was not delivered yet."""
_DEFINITE = (nats.errors.MaxPayloadError, nats.errors.BadSubjectError)
"""Errors of the client about the message itself."""


class NatsWorkQueue:
    """WorkPublisher, BmsSource, FormerBmsSource and CallbackSource. After `redelivery_s` wall seconds without progress
    a worker's item is redelivered."""

    def __init__(self, client: Client, *, redelivery_s: float) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=ANSWER_WITHIN_S)
        self._redelivery_s = redelivery_s
        self._subscriptions: dict[str, JetStreamContext.PullSubscription] = {}
        self._partitions = BmsPartitions(client, self._js, redelivery_s)
        self._former = FormerBmsWork(self._js)
        self._in_partitions = False
        """Whether BMS work is published for its partitions: once a worker consumes them."""

    @classmethod
    async def connect(
        cls, nats_url: str, *, redelivery_s: float, name: str, replicas: int | None = None
    ) -> NatsWorkQueue:
        """Connect and set up the streams; `replicas` None leaves an existing stream's replicas as they are. Raises
        WorkQueueUnavailable."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                client = await connect(nats_url, name=name)
            queue = cls(client, redelivery_s=redelivery_s)
            await queue._set_up(replicas)
        except FAILURES as error:
            raise WorkQueueUnavailable(f"NATS cannot be used: {error!r}; check GRIDPROOF_NATS_URL") from error
        return queue

    @property
    def redelivery_s(self) -> float:
        return self._redelivery_s

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        body = encode_work(work)
        with unavailable("JetStream does not say how BMS work is consumed"):
            is_partitioned = self._in_partitions or await self._is_in_partitions()
        subject = partition_subject if is_partitioned else former_subject
        with _publishing("bms", work, facility=work.facility_id):
            await self._publish(subject(work.facility_id), body, message_id)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        with _publishing("callback", work):
            await self._publish(f"{CALLBACK_SUBJECT}.{work.utility_id}", encode_work(work), message_id)

    async def take_over_bms(self, partition: int) -> None:
        with unavailable("JetStream gives no work"):
            await self._partitions.take_over(partition)
            if not self._in_partitions and not await self._is_in_partitions():
                config = (await self._js.stream_info(BMS_STREAM)).config
                await self._js.update_stream(config.evolve(metadata={**(config.metadata or {}), **ORDER}))
                self._in_partitions = True

    async def next_bms(self, partition: int, *, wait_s: float) -> Sequence[BmsWorkItem]:
        with unavailable("JetStream gives no work"):
            return [NatsBmsWorkItem(message) for message in await self._partitions.next(partition, wait_s)]

    async def release_bms(self, partition: int) -> None:
        with contextlib.suppress(*FAILURES):  # whoever takes it over gets what was delivered
            await self._partitions.release(partition)

    async def is_next_bms(self, item: BmsWorkItem) -> bool:
        facility_id, former = item.facility_id, former_subject(item.facility_id)
        with unavailable("JetStream does not say what waits"):
            if item.ordering_key == former:
                return not await self._former.is_before(partition_subject(facility_id), item.sequence)
            if not await self._former.any_before(item.sequence):
                return True
            return not await self._former.is_before(former, item.sequence)

    async def next_former_bms(self, partitions: Collection[int]) -> Sequence[BmsWorkItem]:
        with unavailable("JetStream gives no work"):
            facilities = [f for f in await self._former.facilities() if bms_partition_of(f) in partitions]
            await self._former.retire_consumers(partitions)
        found = await asyncio.gather(*map(self._next_former, facilities), return_exceptions=True)
        messages = [message for message in found if isinstance(message, Msg)]
        failures = [failure for failure in found if isinstance(failure, BaseException)]
        if failures and not messages:  # otherwise they are met again: what was delivered must be done
            raise failures[0]
        return [NatsBmsWorkItem(message) for message in messages]

    async def _next_former(self, facility_id: str) -> Msg | None:
        config = consumer_config(
            f"{FORMER_CONSUMER}{facility_id}",
            former_subject(facility_id),
            redelivery_s=self._redelivery_s,
            at_once=1,
        )
        return await self._next(BMS_STREAM, config, FORMER_WAIT_S)

    async def utilities_with_callbacks(self) -> list[str]:
        try:
            info = await self._js.stream_info(CALLBACK_STREAM, subjects_filter=f"{CALLBACK_SUBJECT}.>")
        except FAILURES as error:
            raise WorkQueueUnavailable(f"JetStream does not say for whom callbacks wait: {error}") from error
        return sorted(subject.removeprefix(f"{CALLBACK_SUBJECT}.") for subject in info.state.subjects or ())

    async def next_callback(self, utility_id: str, *, wait_s: float) -> WorkItem | None:
        subject = f"{CALLBACK_SUBJECT}.{utility_id}"
        config = consumer_config(
            f"{CALLBACK_CONSUMER}-{utility_id}",
            subject,
            redelivery_s=self._redelivery_s,
            at_once=CALLBACKS_AT_ONCE,
            in_memory=False,
        )
        config.inactive_threshold = IDLE_CONSUMER_S
        message = await self._next(CALLBACK_STREAM, config, wait_s)
        return None if message is None else NatsWorkItem(message)

    async def facilities_with_work(self) -> frozenset[str]:
        with unavailable("JetStream does not say what waits"):
            stream = await self._js.stream_info(BMS_STREAM, subjects_filter=f"{BMS_SUBJECT}.>")
        return frozenset(map(facility_of, stream.state.subjects or ()))

    async def callbacks_held(self, utility_id: str) -> frozenset[UUID]:
        try:
            held = [callback_id_of(body) async for body in self._messages(f"{CALLBACK_SUBJECT}.{utility_id}")]
        except FAILURES as error:
            raise WorkQueueUnavailable(f"JetStream does not show what waits: {error}") from error
        return frozenset(callback_id for callback_id in held if callback_id is not None)

    async def aclose(self) -> None:
        await self._client.close()

    async def _messages(self, subject: str) -> AsyncIterator[bytes]:
        """The callbacks of a subject as they are stored, whether they wait or were delivered."""
        sequence = 1
        while True:
            try:
                message = await self._js.get_msg(CALLBACK_STREAM, seq=sequence, subject=subject, next=True)
            except nats.js.errors.NotFoundError:
                return
            yield message.data or b""
            sequence = (message.seq or sequence) + 1

    async def _set_up(self, replicas: int | None) -> None:
        share = {"max_msgs_per_subject": await self._callback_share(), "discard_new_per_subject": True}
        for name, subject, limits, first in (
            (BMS_STREAM, BMS_SUBJECT, {}, {"metadata": ORDER}),
            (CALLBACK_STREAM, CALLBACK_SUBJECT, share, {}),
        ):
            ours = {
                "subjects": [f"{subject}.>"],
                "retention": RetentionPolicy.WORK_QUEUE,
                "storage": StorageType.FILE,
                "discard": DiscardPolicy.NEW,
                "duplicate_window": DUPLICATE_WINDOW_S,
                **limits,
            }
            await set_up_stream(
                self._js,
                name,
                ours,
                replicas=replicas,
                max_bytes=None,
                first_max_bytes=MAX_BYTES,
                first=first,
            )

    async def _callback_share(self) -> int:
        """The limit of each utility. A stream that has one keeps it.

        A stream of an older release gets one well above what waits in it, so that none of that is over the limit.
        """
        try:
            info = await self._js.stream_info(CALLBACK_STREAM, subjects_filter=f"{CALLBACK_SUBJECT}.>")
        except nats.js.errors.NotFoundError:
            return CALLBACK_SHARE
        if info.config.max_msgs_per_subject > 0:
            return info.config.max_msgs_per_subject
        return max(CALLBACK_SHARE, 2 * max((info.state.subjects or {}).values(), default=0))

    async def _is_in_partitions(self) -> bool:
        metadata = (await self._js.stream_info(BMS_STREAM)).config.metadata or {}
        self._in_partitions = metadata.items() >= ORDER.items()
        return self._in_partitions

    async def _publish(self, subject: str, body: bytes, message_id: str) -> None:
        try:
            await self._js.publish(
                subject, body, headers={"Nats-Msg-Id": message_id}, timeout=ANSWER_WITHIN_S
            )
        except _DEFINITE as error:
            raise WorkRejected(f"NATS does not carry {message_id}: {error}") from error
        except FAILURES as error:
            code = error.err_code if isinstance(error, nats.js.errors.APIError) else None
            if code == MESSAGE_TOO_LARGE:
                raise WorkRejected(f"JetStream does not store {message_id}: {error}") from error
            if code == STORE_FAILED and OF_ONE_SUBJECT in str(error):
                raise WorkShareFull(f"the share of {subject} is full, {message_id} waits: {error}") from error
            if code == STORE_FAILED:
                raise WorkQueueFull(f"JetStream has no room for {message_id}: {error}") from error
            raise WorkQueueUnavailable(f"JetStream did not take {message_id}: {error}") from error

    async def _next(self, stream: str, config: ConsumerConfig, wait_s: float) -> Msg | None:
        durable = str(config.durable_name)
        try:
            subscription = await self._subscription(stream, config)
            messages = await subscription.fetch(1, timeout=wait_s)
        except (TimeoutError, nats.errors.TimeoutError):
            return None
        except FAILURES as error:
            self._subscriptions.pop(durable, None)
            raise WorkQueueUnavailable(f"JetStream gives no work: {error}") from error
        return messages[0] if messages else None

    async def _subscription(self, stream: str, config: ConsumerConfig) -> JetStreamContext.PullSubscription:
        """The subscription of a consumer, which is added first. A failure of the fetch forgets it."""
        durable = str(config.durable_name)
        subscription = self._subscriptions.get(durable)
        if subscription is None:
            await self._add_consumer(stream, config)
            subscription = await self._js.pull_subscribe_bind(consumer=durable, stream=stream)
            self._subscriptions[durable] = subscription
        return subscription

    async def _add_consumer(self, stream: str, config: ConsumerConfig) -> None:
        """Add the consumer, or find it there.

        A message has one consumer only, so that of release 4cd57d2 for all utilities is removed first. What it had
        delivered is delivered again.
        """
        try:
            await self._js.add_consumer(stream, config)
        except nats.js.errors.BadRequestError:
            if stream != CALLBACK_STREAM:
                raise
            with contextlib.suppress(nats.js.errors.NotFoundError):
                await self._js.delete_consumer(stream, CALLBACK_CONSUMER)
            await self._js.add_consumer(stream, config)


def _publishing(kind: str, work: BmsWork | CallbackWork, *, facility: str | None = None) -> TracedWork:
    """Its id follows from the work's cause, so that whoever does the work knows its parent."""
    return traced(
        f"publish {kind} work",
        work.trace_id,
        parent_id=span_id_of(work.causation_id),
        span_id=queued_span_id_of(work.causation_id),
        kind="producer",
        dr_event=work.dr_event_id,
        facility=facility,
    )
