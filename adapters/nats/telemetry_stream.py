"""The telemetry log on JetStream: one stream, a subject and a durable pull consumer per partition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import api

from adapters.nats.ack_inbox import AckInbox
from adapters.nats.pull_inbox import Delivery, PullInbox
from adapters.nats.stream_setup import set_up_stream
from application.ports.telemetry.stream import StreamedBatch, StreamFill, StreamFull, StreamUnavailable
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS

STREAM = "TELEMETRY"
DEFAULT_DAYS = 7
_DAY_S = 86_400.0
DEDUPLICATION_S = 120.0
DEFAULT_MAX_BYTES = 1 << 30
_MAX_MESSAGE_BYTES = 1_000_000
_STREAM_STORE_FAILED = 10077
_ACK_TOKENS = 9
_BEGINS_ELSEWHERE = 10012
"""JetStream's error code for an update of a consumer's beginning, among others."""
_ANSWER_WITHIN_S = 1.5
"""A request that was under way when a server died gets no response. The caller repeats it after this time, which is
harmless."""
_ALL = (*range(PARTITIONS), MALFORMED)


def partition_name(partition: int) -> str:
    return "malformed" if partition == MALFORMED else str(partition)


def subject_of(partition: int) -> str:
    return f"telemetry.{partition_name(partition)}"


def consumer_of(partition: int) -> str:
    return f"aggregate-{partition_name(partition)}"


class NatsTelemetryStream:
    """`client` is connected and reconnects by itself. The stream and its consumers are made at first use.

    `ack_wait_s` (wall seconds) is how long a consumer may hold a batch without acknowledgement before it is
    redelivered. The log drops what is older than `days`; an `archived` one drops nothing by age, and trims only what is
    archived. `replicas` of None leaves those of an existing log; a new one has one. With `max_bytes` of None the limit
    is what `following_bytes` returns, unless an operator set another one; where that returns None too, an existing
    log keeps its limit and a new one has DEFAULT_MAX_BYTES. `following_bytes` is called in a thread.
    """

    def __init__(
        self,
        client: Client,
        *,
        replicas: int | None = None,
        max_bytes: int | None = None,
        ack_wait_s: float = 2.0,
        answer_within_s: float = _ANSWER_WITHIN_S,
        archived: bool = False,
        days: int = DEFAULT_DAYS,
        following_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=answer_within_s)
        self._acks = AckInbox(client)
        self._answer_within_s = answer_within_s
        self._replicas = replicas
        self._max_bytes = max_bytes
        self._ack_wait_s = ack_wait_s
        self._archived = archived
        self._days = days
        self._following_bytes = following_bytes
        self._inboxes: dict[int, PullInbox] = {}
        self._ensured = False
        self._ensuring = asyncio.Lock()

    async def ensure(self) -> None:
        """Create the stream and its consumers, or update them to this configuration."""
        await self.ensure_stream()
        with translate_errors():
            for partition in _ALL:
                await self._add_consumer(self._consumer(partition))

    async def ensure_stream(self) -> None:
        """The stream alone, with the limit that follows now."""
        ours = {
            "subjects": [subject_of(p) for p in _ALL],
            "retention": api.RetentionPolicy.LIMITS,
            "storage": api.StorageType.FILE,
            "discard": api.DiscardPolicy.NEW,
            "max_age": 0.0 if self._archived else self._days * _DAY_S,
            "max_msg_size": _MAX_MESSAGE_BYTES,
            "duplicate_window": DEDUPLICATION_S,
        }
        following = None if self._max_bytes else await asyncio.to_thread(self._following_bytes)
        with translate_errors():
            await set_up_stream(
                self._jetstream,
                STREAM,
                ours,
                replicas=self._replicas,
                max_bytes=self._max_bytes,
                first_max_bytes=DEFAULT_MAX_BYTES,
                following_bytes=following,
            )

    async def _add_consumer(self, config: api.ConsumerConfig) -> None:
        """Add a consumer; one that a restore of the database has made anew begins where the database ended, and keeps
        that."""
        try:
            await self._jetstream.add_consumer(STREAM, config)
        except nats.js.errors.APIError as error:
            if error.err_code != _BEGINS_ELSEWHERE:
                raise
            there = (await self._jetstream.consumer_info(STREAM, str(config.durable_name))).config
            begin = {"deliver_policy": there.deliver_policy, "opt_start_time": there.opt_start_time}
            await self._jetstream.add_consumer(STREAM, config.evolve(**begin))

    async def _ensure_once(self) -> None:
        async with self._ensuring:
            if not self._ensured:
                await self.ensure()
                self._ensured = True

    def _consumer(self, partition: int) -> api.ConsumerConfig:
        return api.ConsumerConfig(
            durable_name=consumer_of(partition),
            filter_subject=subject_of(partition),
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait_s,
            # The worker parks poison messages with their body, so the server must not give up earlier.
            max_deliver=-1,
            max_ack_pending=256,
        )

    async def publish(
        self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
    ) -> int:
        await self._ensure_once()
        headers = {api.Header.MSG_ID.value: message_id, api.Header.EXPECTED_STREAM.value: STREAM}
        if traceparent:
            headers["traceparent"] = traceparent
        with translate_errors():
            try:
                return await self._acks.publish(
                    subject_of(partition), body, headers, within_s=self._answer_within_s
                )
            except nats.js.errors.NoStreamResponseError:
                self._ensured = False  # it was deleted: the next attempt creates it again
                raise

    async def pull(self, partition: int, *, limit: int, timeout_s: float) -> Sequence[StreamedBatch]:
        await self._ensure_once()
        with translate_errors():
            if not self._client.is_connected:
                raise nats.errors.ConnectionReconnectingError
            try:
                deliveries = await self._inbox(partition).pull(limit, timeout_s)
            except nats.js.errors.NoStreamResponseError:
                self._ensured = False  # it was deleted: the next attempt creates it again
                raise
        return [_batch(partition, delivery) for delivery in deliveries]

    def _inbox(self, partition: int) -> PullInbox:
        if partition not in self._inboxes:
            self._inboxes[partition] = PullInbox(self._client, STREAM, consumer_of(partition))
        return self._inboxes[partition]

    async def stop_consuming(self, partition: int) -> None:
        inbox = self._inboxes.pop(partition, None)
        if inbox is not None:
            with translate_errors():
                await inbox.aclose()

    async def acknowledge(self, batch: StreamedBatch) -> None:
        with translate_errors():
            if batch.connection != self._client.stats["reconnects"]:
                # A server that was killed had not yet stored all of its deliveries. Its successor does not have those:
                # it redelivers the messages and never confirms an acknowledgement of the first delivery.
                await self._client.publish(batch.reply_to, b"+ACK")
                return
            # Waits for the server's confirmation: a lost acknowledgement would cause a redelivery.
            await self._client.request(batch.reply_to, b"+ACK", timeout=self._answer_within_s)

    async def acknowledge_all(self, batches: Sequence[StreamedBatch]) -> None:
        *others, last = batches
        with translate_errors():
            for batch in others:
                await self._client.publish(batch.reply_to, b"+ACK")
        await self.acknowledge(last)  # everything sent before on the same connection has arrived, too

    async def extend_lease(self, batch: StreamedBatch) -> None:
        with translate_errors():
            await self._client.publish(batch.reply_to, b"+WPI")

    async def return_batch(self, batch: StreamedBatch) -> None:
        with translate_errors():
            await self._client.publish(batch.reply_to, b"-NAK")

    async def fill(self) -> StreamFill:
        await self._ensure_once()
        with translate_errors():
            info = await self._jetstream.stream_info(STREAM)
            consumers = [await self._jetstream.consumer_info(STREAM, consumer_of(p)) for p in _ALL]
        return StreamFill(
            messages=info.state.messages,
            stored_bytes=info.state.bytes,
            max_bytes=info.config.max_bytes or DEFAULT_MAX_BYTES,
            unprocessed=sum((c.num_pending or 0) + (c.num_ack_pending or 0) for c in consumers),
        )

    async def trim(self, archived: Mapping[int, int] | None = None) -> None:
        if self._archived and archived is None:
            return
        await self._ensure_once()
        with translate_errors():
            for partition in _ALL:
                consumer = await self._jetstream.consumer_info(STREAM, consumer_of(partition))
                floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
                if archived is not None:
                    floor = min(floor, archived.get(partition, 0))
                if floor:
                    await self._jetstream.purge_stream(STREAM, seq=floor + 1, subject=subject_of(partition))


def _batch(partition: int, delivery: Delivery) -> StreamedBatch:
    # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>; a server may
    # insert two tokens before the stream.
    message = delivery.message
    tokens = message.reply.split(".")
    first = 4 if len(tokens) == _ACK_TOKENS else 6
    deliveries, stream_seq = tokens[first], tokens[first + 1]
    return StreamedBatch(
        partition=partition,
        stream_seq=int(stream_seq),
        deliveries=int(deliveries),
        body=message.data,
        reply_to=message.reply,
        left=int(tokens[first + 4]),
        connection=delivery.connection,
        traceparent=message.headers.get("traceparent") if message.headers else None,
    )


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raises the port's errors for those of the client."""
    try:
        yield
    except nats.js.errors.APIError as error:
        if error.err_code == _STREAM_STORE_FAILED or "maximum" in (error.description or ""):
            raise StreamFull(f"JetStream refuses more telemetry: {error.description}") from error
        raise StreamUnavailable(f"JetStream: {error}") from error
    except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
        raise StreamUnavailable(f"NATS: {type(error).__name__}: {error}") from error
