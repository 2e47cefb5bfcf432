"""The telemetry log on JetStream as the archive reads it: from a sequence on, by a consumer that keeps nothing.

The consumer acknowledges nothing and is made anew wherever reading should go on elsewhere, or where it skipped
something (a broken connection): the archive's manifest alone says how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from adapters.nats.telemetry_stream import STREAM, consumer_of, subject_of
from application.ports.raw_archive.telemetry_log import PartitionBacklog, RawMessage
from application.ports.telemetry.stream import StreamUnavailable

_ANSWER_WITHIN_S = 5.0
_UNUSED_FOR_S = 60.0
_TRIES = 2
_TOKENS_WITHOUT_DOMAIN, _TIME_WITHOUT_DOMAIN = 9, 7


def _as_it_is(moment: datetime) -> datetime:
    return moment


@dataclass
class _Reader:
    """A consumer of one partition, and what it should give next."""

    name: str
    subscription: JetStreamContext.PullSubscription
    after_seq: int
    left: int
    delivered: int = 0


class _Skipped(Exception):
    """The reader has to begin anew."""


class NatsRawLog:
    """`client` is connected and reconnects by itself; `clock_time` turns the server's time into the system's."""

    def __init__(
        self,
        client: Client,
        *,
        clock_time: Callable[[datetime], datetime] = _as_it_is,
        answer_within_s: float = _ANSWER_WITHIN_S,
    ) -> None:
        self._jetstream = client.jetstream(timeout=answer_within_s)
        self._clock_time = clock_time
        self._answer_within_s = answer_within_s
        self._readers: dict[int, _Reader] = {}

    async def log_id(self) -> str:
        with _named():
            created = (await self._jetstream.stream_info(STREAM)).created
        if created is None:
            raise StreamUnavailable("NATS does not say when the telemetry log was made")
        return f"{created.astimezone(UTC):%Y%m%dT%H%M%S%f}"

    async def waiting(self, partition: int, after_seq: int) -> PartitionBacklog | None:
        with _named():
            oldest_at = await self._first_at(partition, after_seq)
            if oldest_at is None:
                return None
            return PartitionBacklog(max(1, await self._left_now(partition, after_seq)), oldest_at)

    async def oldest_unprocessed(self, partition: int) -> datetime | None:
        with _named():
            try:
                worker = await self._jetstream.consumer_info(STREAM, consumer_of(partition))
            except nats.js.errors.NotFoundError:  # nobody has ever asked for work
                return await self._first_at(partition, 0)
            if not worker.num_pending and not worker.num_ack_pending:
                return None
            floor = worker.ack_floor
            return await self._first_at(partition, floor.stream_seq if floor is not None else 0)

    async def _first_at(self, partition: int, after_seq: int) -> datetime | None:
        """When the log took the first message behind `after_seq`."""
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
        for _ in range(_TRIES):
            try:
                with _named():
                    return await self._read(partition, after_seq, limit)
            except (_Skipped, StreamUnavailable) as error:
                why = error
            await self._forget(partition)  # a server that came back does not know its consumers
        raise StreamUnavailable(f"partition {partition} is not read behind {after_seq}: {why}") from why

    async def _read(self, partition: int, after_seq: int, limit: int) -> list[RawMessage]:
        reader = await self._reader_behind(partition, after_seq)
        if reader.left == 0:
            await self._forget(partition)
            reader = await self._reader_behind(partition, after_seq)
        if reader.left == 0:
            return []
        found = await reader.subscription.fetch(min(limit, reader.left), timeout=self._answer_within_s)
        return [self._taken(reader, message) for message in found]

    def _taken(self, reader: _Reader, message: Msg) -> RawMessage:
        metadata = message.metadata
        if metadata.sequence.consumer != reader.delivered + 1:
            raise _Skipped("a message got lost on its way")
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

    async def _left_now(self, partition: int, after_seq: int) -> int:
        """A reader itself learns only by reading what has come since."""
        reader = await self._reader_behind(partition, after_seq)
        try:
            reader.left = (await self._jetstream.consumer_info(STREAM, reader.name)).num_pending or 0
        except nats.js.errors.NotFoundError:  # unused for long
            await self._forget(partition)
            reader = await self._reader_behind(partition, after_seq)
        return reader.left

    async def _reader_behind(self, partition: int, after_seq: int) -> _Reader:
        reader = self._readers.get(partition)
        if reader is None or reader.after_seq != after_seq:
            await self._forget(partition)
            reader = self._readers[partition] = await self._begin(partition, after_seq)
        return reader

    async def _begin(self, partition: int, after_seq: int) -> _Reader:
        made = await self._jetstream.add_consumer(
            STREAM,
            api.ConsumerConfig(
                filter_subject=subject_of(partition),
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after_seq + 1,
                ack_policy=api.AckPolicy.NONE,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=_UNUSED_FOR_S,
            ),
        )
        subscription = await self._jetstream.pull_subscribe_bind(consumer=made.name, stream=STREAM)
        return _Reader(made.name, subscription, after_seq, left=made.num_pending or 0)

    async def _forget(self, partition: int) -> None:
        if (reader := self._readers.pop(partition, None)) is not None:
            with suppress(nats.errors.Error, nats.js.errors.Error, TimeoutError):  # it ends by itself unused
                await reader.subscription.unsubscribe()
                await self._jetstream.delete_consumer(STREAM, reader.name)


def _logged_at(reply: str) -> datetime:
    """To the microsecond, as `get_msg` says it; the client's own metadata went through a float."""
    tokens = reply.split(".")
    nanoseconds = int(
        tokens[_TIME_WITHOUT_DOMAIN if len(tokens) == _TOKENS_WITHOUT_DOMAIN else Msg.Ack.Timestamp]
    )
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1_000)


@contextmanager
def _named() -> Iterator[None]:
    """The client's many errors, as the port names them."""
    try:
        yield
    except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
        raise StreamUnavailable(f"NATS: {type(error).__name__}: {error}") from error
