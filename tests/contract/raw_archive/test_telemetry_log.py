"""The contract of RawLog, which the archive relies on: JetStream's and the fake's."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import nats
import nats.js.errors
import pytest

from adapters.embedded import EmbeddedServers
from adapters.nats.raw_log import NatsRawLog
from adapters.nats.telemetry_stream import NatsTelemetryStream
from application.ports.raw_archive.telemetry_log import RawLog, RawMessage
from application.ports.telemetry.stream import StreamUnavailable
from domain.telemetry.meter_reading import MALFORMED
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.patience import ANSWER_S
from tests.telemetry_log import delete_telemetry_log


class Append(Protocol):
    async def __call__(self, partition: int, body: bytes, message_id: str) -> int: ...

    async def process(self, partition: int) -> None:
        """Act as an aggregate worker: take two messages, and acknowledge the second, then the first."""
        ...


class _ToFake:
    def __init__(self, log: FakeRawLog) -> None:
        self._log = log

    async def __call__(self, partition: int, body: bytes, message_id: str) -> int:
        return self._log.append(partition, body, at=datetime.now(UTC), message_id=message_id)

    async def process(self, partition: int) -> None:
        left = [m.stream_seq for p, m in self._log.messages if p == partition]
        self._log.acknowledged |= set([seq for seq in left if seq not in self._log.acknowledged][:2])


class _ToNats:
    def __init__(self, stream: NatsTelemetryStream) -> None:
        self._stream = stream

    async def __call__(self, partition: int, body: bytes, message_id: str) -> int:
        return await self._stream.publish(partition, body, message_id=message_id, traceparent="00-a-b-01")

    async def process(self, partition: int) -> None:
        first, second = await self._stream.pull(partition, limit=2, timeout_s=ANSWER_S)
        before = (await self._stream.fill()).unprocessed
        await self._stream.acknowledge(second)
        await self._stream.acknowledge(first)
        async with asyncio.timeout(ANSWER_S):
            while (await self._stream.fill()).unprocessed > before - 2:  # noqa: ASYNC110 - there is no signal
                await asyncio.sleep(0.01)


Story = Callable[[RawLog, Append], Awaitable[None]]
Tell = Callable[[Story], None]


async def _on_nats(url: str, scenario: Story) -> None:
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    try:
        await delete_telemetry_log(client.jetstream())
        stream = NatsTelemetryStream(client)
        await stream.ensure()
        await scenario(NatsRawLog(client, answer_within_s=2.0), _ToNats(stream))
    finally:
        await client.close()


@pytest.fixture(params=["fake", "nats"])
def tell(request: pytest.FixtureRequest) -> Tell:
    """Run a scenario on the log."""
    if request.param == "fake":

        async def on_fake(scenario: Story) -> None:
            log = FakeRawLog()
            await scenario(log, _ToFake(log))

        return lambda scenario: asyncio.run(on_fake(scenario))
    server: EmbeddedServers = request.getfixturevalue("nats_server")
    return lambda scenario: asyncio.run(_on_nats(server.nats_url, scenario))


def test_a_partition_is_read_repeatedly_from_any_sequence(tell: Tell) -> None:
    async def scenario(log: RawLog, append: Append) -> None:
        assert await log.read(2, 0, limit=9) == []
        seqs = []
        for n in range(6):
            seqs.append(await append(2, bytes([n]), f"m{n}"))
            await append(MALFORMED, b"other", f"other {n}")
        for _ in range(2):
            found: list[RawMessage] = []
            while messages := await log.read(2, found[-1].stream_seq if found else 0, limit=4):
                found += messages
            assert [(m.stream_seq, m.body) for m in found] == [(s, bytes([n])) for n, s in enumerate(seqs)]
            assert [m.message_id for m in found] == [f"m{n}" for n in range(6)]
        assert [m.body for m in await log.read(2, seqs[3], limit=1)] == [b"\4"]
        later = await append(2, b"later", "later")
        assert [m.stream_seq for m in await log.read(2, seqs[-1], limit=9)] == [later]

    tell(scenario)


def test_waiting_messages_are_counted_with_the_time_of_the_oldest(tell: Tell) -> None:
    async def scenario(log: RawLog, append: Append) -> None:
        assert await log.waiting(1, 0) is None
        before = datetime.now(UTC) - timedelta(seconds=1)
        first = await append(1, b"a", "a")
        last = await append(1, b"b", "b")
        waiting = await log.waiting(1, 0)
        (message, _) = await log.read(1, 0, limit=9)
        assert waiting is not None
        assert (waiting.messages, waiting.oldest_at) == (2, message.logged_at)
        assert before < waiting.oldest_at < datetime.now(UTC) + timedelta(seconds=1)
        behind_first = await log.waiting(1, first)
        assert behind_first is not None
        assert behind_first.messages == 1
        assert await log.waiting(1, last) is None

    tell(scenario)


def test_messages_that_arrive_while_nothing_is_read_are_counted(tell: Tell) -> None:
    async def scenario(log: RawLog, append: Append) -> None:
        first = await append(1, b"a", "a")
        assert len(await log.read(1, 0, limit=9)) == 1
        for n in range(3):
            await append(1, b"later", f"later {n}")
            waiting = await log.waiting(1, first)
            assert waiting is not None
            assert waiting.messages == n + 1
        assert len(await log.read(1, first, limit=9)) == 3

    tell(scenario)


def test_the_time_of_the_oldest_unprocessed_message_is_reported_without_a_worker(tell: Tell) -> None:
    async def scenario(log: RawLog, append: Append) -> None:
        assert await log.oldest_unprocessed(1) is None
        for n in range(3):
            await append(1, b"a", f"a{n}")
            await append(2, b"b", f"b{n}")
        first, _, third = await log.read(1, 0, limit=9)
        assert await log.oldest_unprocessed(1) == first.logged_at
        await append.process(1)
        assert await log.oldest_unprocessed(1) == third.logged_at
        (of_another, *_) = await log.read(2, 0, limit=9)
        assert await log.oldest_unprocessed(2) == of_another.logged_at

    tell(scenario)


def test_a_log_keeps_its_id(tell: Tell) -> None:
    async def scenario(log: RawLog, append: Append) -> None:
        before = await log.log_id()
        await append(1, b"a", "a")
        assert await log.log_id() == before

    tell(scenario)


def test_a_recreated_log_has_another_id(nats_server: EmbeddedServers) -> None:
    ids: list[str] = []

    async def scenario(log: RawLog, _: Append) -> None:
        ids.append(await log.log_id())

    for _ in range(2):
        asyncio.run(_on_nats(nats_server.nats_url, scenario))
    assert len(set(ids)) == 2


def test_reading_waits_for_a_stopped_server_and_skips_nothing(
    nats_server: EmbeddedServers,
) -> None:
    async def scenario(log: RawLog, append: Append) -> None:
        for n in range(8):
            await append(4, bytes([n]), f"m{n}")
        found = list(await log.read(4, 0, limit=3))
        await asyncio.to_thread(nats_server.nats.kill)
        try:
            with pytest.raises(StreamUnavailable):
                await log.waiting(4, found[-1].stream_seq)
        finally:
            await asyncio.to_thread(nats_server.nats.start)
        for _ in range(100):
            try:
                found += await log.read(4, found[-1].stream_seq, limit=3)
            except StreamUnavailable:
                await asyncio.sleep(0.1)
            if len(found) == 8:
                break
        assert [m.body for m in found] == [bytes([n]) for n in range(8)]

    asyncio.run(_on_nats(nats_server.nats_url, scenario))
