"""The telemetry log on JetStream as the archive reads it: from a given sequence on, by an ephemeral consumer.

The consumer acknowledges nothing. It is created anew where reading continues at another sequence, or where it skipped
something (a broken connection). The archive's manifest alone holds the position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from adapters.nats.telemetry_stream import STREAM, consumer_of, subject_of, translate_errors
from application.ports.raw_archive.telemetry_log import PartitionBacklog, RawMessage
from application.ports.telemetry.stream import StreamUnavailable

_ANSWER_WITHIN_S = 5.0
_INACTIVE_S = 60.0
_ATTEMPTS = 2
_TOKENS_WITHOUT_DOMAIN, _TIME_WITHOUT_DOMAIN = 9, 7


def _unchanged(moment: datetime) -> datetime:
    return moment


@dataclass
class _Reader:
    """A consumer of one partition and its expected position."""

    name: str
    subscription: JetStreamContext.PullSubscription
    after_seq: int
    left: int
    delivered: int = 0


class _OutOfSequence(Exception):
    """The reader skipped a message and must be created anew."""


class NatsRawLog:
    """`client` is connected and reconnects by itself. `clock_time` converts the server's time to the system's."""

    def __init__(
        self,
        client: Client,
        *,
        clock_time: Callable[[datetime], datetime] = _unchanged,
        answer_within_s: float = _ANSWER_WITHIN_S,
    ) -> None:
        self._jetstream = client.jetstream(timeout=answer_within_s)
        self._clock_time = clock_time
        self._answer_within_s = answer_within_s
        self._readers: dict[int, _Reader] = {}

    async def log_id(self) -> str:
        with translate_errors():
            created = (await self._jetstream.stream_info(STREAM)).created
        if created is None:
            raise StreamUnavailable("NATS does not say when the telemetry log was made")
        return f"{created.astimezone(UTC):%Y%m%dT%H%M%S%f}"

    async def waiting(self, partition: int, after_seq: int) -> PartitionBacklog | None:
        with translate_errors():
            oldest_at = await self._first_at(partition, after_seq)
            if oldest_at is None:
                return None
            return PartitionBacklog(max(1, await self._count_left(partition, after_seq)), oldest_at)

    async def oldest_unprocessed(self, partition: int) -> datetime | None:
        with translate_errors():
            try:
                worker = await self._jetstream.consumer_info(STREAM, consumer_of(partition))
            except nats.js.errors.NotFoundError:  # no worker has pulled yet
                return await self._first_at(partition, 0)
            if not worker.num_pending and not worker.num_ack_pending:
                return None
            floor = worker.ack_floor
            return await self._first_at(partition, floor.stream_seq if floor is not None else 0)

    async def _first_at(self, partition: int, after_seq: int) -> datetime | None:
        """When the log stored the first message after `after_seq`."""
        try:
            first = await self._jetstream.get_msg(
                STREAM, seq=after_seq + 1, subject=subject_of(partition), next=True
            )
        except nats.js.errors.NotFoundError:
            return None
        if first.time is None:
            raise StreamUnavailable("NATS does not say when it took a message")
        return self._clock_time(first.time.astimezone(UTC))

    async def read(self, partition: int, after_seq: int, *, limit: int) -> Sequence[RawMessage]:
        why: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                with translate_errors():
                    return await self._read(partition, after_seq, limit)
            except (_OutOfSequence, StreamUnavailable) as error:
                why = error
            await self._drop_reader(partition)  # a restarted server does not have its ephemeral consumers
        raise StreamUnavailable(f"partition {partition} is not read behind {after_seq}: {why}") from why

    async def _read(self, partition: int, after_seq: int, limit: int) -> list[RawMessage]:
        reader = await self._reader_after(partition, after_seq)
        if reader.left == 0:
            await self._drop_reader(partition)
            reader = await self._reader_after(partition, after_seq)
        if reader.left == 0:
            return []
        result = await reader.subscription.fetch(min(limit, reader.left), timeout=self._answer_within_s)
        return [self._raw_message(reader, message) for message in result]

    def _raw_message(self, reader: _Reader, message: Msg) -> RawMessage:
        metadata = message.metadata
        if metadata.sequence.consumer != reader.delivered + 1:
            raise _OutOfSequence("a message got lost on its way")
        reader.delivered += 1
        reader.left = metadata.num_pending
        reader.after_seq = metadata.sequence.stream
        headers = message.headers or {}
        return RawMessage(
            reader.after_seq,
            self._clock_time(_logged_at(message.reply)),
            headers.get(api.Header.MSG_ID.value),
            headers.get("traceparent"),
            message.data,
        )

    async def _count_left(self, partition: int, after_seq: int) -> int:
        """Queries the consumer: a reader itself learns only by reading what was added."""
        reader = await self._reader_after(partition, after_seq)
        try:
            reader.left = (await self._jetstream.consumer_info(STREAM, reader.name)).num_pending or 0
        except nats.js.errors.NotFoundError:  # deleted by the server after inactivity
            await self._drop_reader(partition)
            reader = await self._reader_after(partition, after_seq)
        return reader.left

    async def _reader_after(self, partition: int, after_seq: int) -> _Reader:
        reader = self._readers.get(partition)
        if reader is None or reader.after_seq != after_seq:
            await self._drop_reader(partition)
            reader = self._readers[partition] = await self._create_reader(partition, after_seq)
        return reader

    async def _create_reader(self, partition: int, after_seq: int) -> _Reader:
        made = await self._jetstream.add_consumer(
            STREAM,
            api.ConsumerConfig(
                filter_subject=subject_of(partition),
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after_seq + 1,
                ack_policy=api.AckPolicy.NONE,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=_INACTIVE_S,
            ),
        )
        subscription = await self._jetstream.pull_subscribe_bind(consumer=made.name, stream=STREAM)
        return _Reader(made.name, subscription, after_seq, left=made.num_pending or 0)

    async def _drop_reader(self, partition: int) -> None:
        if (reader := self._readers.pop(partition, None)) is not None:
            with suppress(
                nats.errors.Error, nats.js.errors.Error, TimeoutError
            ):  # the server deletes it after inactivity
                await reader.subscription.unsubscribe()
                await self._jetstream.delete_consumer(STREAM, reader.name)


def _logged_at(reply: str) -> datetime:
    """To the microsecond, as `get_msg` returns it. The client's own metadata loses precision in a float."""
    tokens = reply.split(".")
    nanoseconds = int(
        tokens[_TIME_WITHOUT_DOMAIN if len(tokens) == _TOKENS_WITHOUT_DOMAIN else Msg.Ack.Timestamp]
    )
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1_000)
