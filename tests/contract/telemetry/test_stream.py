"""The contract of TelemetryStream: JetStream's and the fake's."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import nats
import nats.js.errors
import pytest

from adapters.embedded import EmbeddedServers
from adapters.nats.telemetry_stream import NatsTelemetryStream
from application.ports.telemetry.stream import StreamFull, StreamUnavailable, TelemetryStream
from domain.telemetry.meter_reading import MALFORMED
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.patience import ANSWER_S
from tests.telemetry_log import delete_telemetry_log, pulled

Story = Callable[[TelemetryStream], Awaitable[None]]
MAX_BYTES = 100_000
LEASE_S = 60.0
SHORT_LEASE_S = 2.0
"""For tests of what happens after it."""


class Tell(Protocol):
    """Runs a scenario on the stream."""

    def __call__(self, scenario: Story, *, lease_s: float = LEASE_S) -> None: ...


async def _on_nats(
    url: str, scenario: Story, lease_s: float = LEASE_S, answer_within_s: float = ANSWER_S
) -> None:
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    try:
        stream = NatsTelemetryStream(
            client, max_bytes=MAX_BYTES, ack_wait_s=lease_s, answer_within_s=answer_within_s
        )
        await delete_telemetry_log(client.jetstream())
        await stream.ensure()
        await stream.ensure()
        await scenario(stream)
        await delete_telemetry_log(client.jetstream())  # an existing log would keep its size
    finally:
        await client.close()


@pytest.fixture(params=["fake", "nats"])
def tell(request: pytest.FixtureRequest) -> Tell:
    if request.param == "fake":

        async def on_fake(scenario: Story) -> None:
            await scenario(FakeTelemetryStream(max_bytes=MAX_BYTES))

        return lambda scenario, *, lease_s=LEASE_S: asyncio.run(on_fake(scenario))
    server: EmbeddedServers = request.getfixturevalue("nats_server")
    return lambda scenario, *, lease_s=LEASE_S: asyncio.run(_on_nats(server.nats_url, scenario, lease_s))


def test_a_partition_is_delivered_in_order_without_other_partitions(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        seqs = [await stream.publish(2, bytes([n]), message_id=f"m{n}") for n in range(5)]
        await stream.publish(MALFORMED, b"other", message_id="other")
        batches = await pulled(stream, 2, 3)
        batches += await pulled(stream, 2, 2)
        assert [b.body for b in batches] == [bytes([n]) for n in range(5)]
        assert [b.stream_seq for b in batches] == seqs == sorted(seqs)
        assert {(b.partition, b.deliveries) for b in batches} == {(2, 1)}
        assert [b.body for b in await stream.pull(MALFORMED, limit=9, timeout_s=ANSWER_S)] == [b"other"]

    tell(scenario)


def test_each_message_states_how_many_of_its_partition_are_left(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        for n in range(5):
            await stream.publish(2, bytes([n]), message_id=f"m{n}")
        await stream.publish(3, b"other", message_id="other")
        batches = [*await pulled(stream, 2, 3), *await pulled(stream, 2, 2)]
        assert [batch.left for batch in batches] == [4, 3, 2, 1, 0]

    tell(scenario)


def test_the_same_message_id_is_stored_once(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        first = await stream.publish(0, b"x", message_id="same")
        assert await stream.publish(0, b"x", message_id="same") == first
        assert (await stream.fill()).messages == 1

    tell(scenario)


def test_only_unacknowledged_messages_are_redelivered(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        for name in ("a", "b"):
            await stream.publish(0, name.encode(), message_id=name)
        first, _ = await pulled(stream, 0, 2)
        await stream.acknowledge(first)
        (again,) = await pulled(stream, 0, 1)
        assert again.body == b"b"
        assert again.deliveries >= 2
        await stream.acknowledge(again)
        assert (await stream.fill()).unprocessed == 0
        assert await stream.pull(0, limit=2, timeout_s=1) == []

    tell(scenario, lease_s=SHORT_LEASE_S)


def test_a_batch_in_progress_is_not_redelivered(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        await stream.publish(0, b"slow", message_id="slow")
        (batch,) = await stream.pull(0, limit=1, timeout_s=ANSWER_S)
        for _ in range(6):
            await asyncio.sleep(SHORT_LEASE_S / 4)
            await stream.extend_lease(batch)
        assert await stream.pull(0, limit=1, timeout_s=0.1) == []
        assert len(await stream.pull(0, limit=1, timeout_s=ANSWER_S)) == 1

    tell(scenario, lease_s=SHORT_LEASE_S)


def test_a_returned_message_is_redelivered_without_a_wait(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        await stream.publish(0, b"mine", message_id="mine")
        (batch,) = await stream.pull(0, limit=1, timeout_s=ANSWER_S)
        for deliveries in range(2, 12):  # ten waits would be longer than any of them
            await stream.return_batch(batch)
            (batch,) = await stream.pull(0, limit=1, timeout_s=ANSWER_S)
            assert batch.deliveries == deliveries
        await stream.acknowledge(batch)
        assert (await stream.fill()).unprocessed == 0

    tell(scenario)


def test_unpulled_messages_are_redelivered_without_a_wait_after_a_stop(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        for n in range(4):
            await stream.publish(0, bytes([n]), message_id=f"m{n}")
        (first,) = await stream.pull(0, limit=1, timeout_s=ANSWER_S)
        await stream.acknowledge(first)
        await stream.stop_consuming(0)
        bodies: list[bytes] = []
        while len(bodies) < 3 and (batches := await stream.pull(0, limit=9, timeout_s=ANSWER_S)):
            bodies += [batch.body for batch in batches]
            await stream.acknowledge_all(batches)
        assert sorted(bodies) == [b"\1", b"\2", b"\3"]
        assert (await stream.fill()).unprocessed == 0

    tell(scenario)


def test_a_full_log_refuses_messages_until_processed_ones_are_trimmed(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        body = b"x" * 20_000
        count = await _published_until_full(stream, body)
        await stream.trim()
        assert (await stream.fill()).messages == count  # no message is processed yet
        first, second = await pulled(stream, 0, 2)
        await stream.acknowledge(first)
        await stream.acknowledge(second)
        await stream.trim()
        fill = await stream.fill()
        assert (fill.messages, fill.unprocessed, fill.max_bytes) == (count - 2, count - 2, MAX_BYTES)
        await stream.publish(0, body, message_id="there is room")

    tell(scenario)


async def _published_until_full(stream: TelemetryStream, body: bytes) -> int:
    for count in range(20):
        try:
            await stream.publish(0, body, message_id=str(count))
        except StreamFull:
            return count
    raise AssertionError("the log refused no message")


def test_a_stopped_server_is_reported_as_unavailable(nats_server: EmbeddedServers) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        await stream.publish(0, b"before", message_id="before")
        await asyncio.to_thread(nats_server.nats.kill)
        try:
            with pytest.raises(StreamUnavailable):
                await stream.publish(0, b"while", message_id="while")
            with pytest.raises(StreamUnavailable):
                await stream.fill()
        finally:
            await asyncio.to_thread(nats_server.nats.start)
        await _until_published(stream)
        bodies = [b.body for b in await pulled(stream, 0, (await stream.fill()).messages)]
        assert bodies in ([b"before", b"after"], [b"before", b"while", b"after"])

    asyncio.run(_on_nats(nats_server.nats_url, scenario, answer_within_s=2.0))


async def _until_published(stream: TelemetryStream) -> None:
    for _ in range(20):
        try:
            await stream.publish(0, b"after", message_id="after")
        except StreamUnavailable:
            await asyncio.sleep(0.2)
        else:
            return
    raise AssertionError("the log did not become available again")


def test_trimming_stops_at_the_first_unarchived_message(tell: Tell) -> None:
    async def scenario(stream: TelemetryStream) -> None:
        seqs = [await stream.publish(p, b"x", message_id=f"{p}-{n}") for n in range(4) for p in (0, 1)]
        for partition in (0, 1):
            for batch in await pulled(stream, partition, 3):
                await stream.acknowledge(batch)
        await stream.trim({0: seqs[2], 1: seqs[-1]})
        left = {0: 2, 1: 1}  # two of partition 0 are archived; one of partition 1 is not acknowledged
        assert (await stream.fill()).messages == sum(left.values())

    tell(scenario)
