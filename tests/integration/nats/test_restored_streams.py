"""JetStream after a restore of the database: no work of the lost interval, and readings once more."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import nats
import pytest
from nats.js import api

from adapters.embedded import EmbeddedServers
from adapters.nats.bms_work import BMS_STREAM
from adapters.nats.restored_streams import RestoredStreams
from adapters.nats.telemetry_stream import STREAM, NatsTelemetryStream
from adapters.nats.work_queue import CALLBACK_STREAM, NatsWorkQueue
from application.ports.dispatch.work_queue import BmsWork
from application.ports.telemetry.stream import StreamUnavailable


def work(facility_id: str) -> BmsWork:
    return BmsWork(
        task="command",
        dr_event_id=uuid4(),
        facility_id=facility_id,
        command_id=uuid4(),
        correlation_id=uuid4(),
        causation_id=uuid4(),
        tenant=None,
        trace_id="",
    )


def test_work_of_the_lost_interval_is_removed_and_can_be_published_again(
    nats_server: EmbeddedServers,
) -> None:
    async def scenario() -> None:
        queue = await NatsWorkQueue.connect(nats_server.nats_url, redelivery_s=1.0, name="test")
        facility_id = f"fac-{uuid4().hex[:8]}"
        lost = work(facility_id)
        await queue.publish_bms(lost, message_id="once")
        js = (await nats.connect(nats_server.nats_url)).jetstream()
        before = (await js.stream_info(BMS_STREAM)).config
        removed = await RestoredStreams.work_with(nats_server.nats_url, {})
        assert removed[BMS_STREAM] >= 1
        assert await queue.facilities_with_work() == frozenset()
        assert (await js.stream_info(BMS_STREAM)).config.evolve(metadata=None) == before.evolve(metadata=None)
        await queue.publish_bms(lost, message_id="once")
        assert await queue.facilities_with_work() == {facility_id}, "its id is not taken for a repetition"
        await queue.aclose()

    asyncio.run(scenario())


def test_readings_after_the_position_of_the_database_are_delivered_again(
    nats_server: EmbeddedServers,
) -> None:
    async def scenario() -> None:
        client = await nats.connect(nats_server.nats_url)
        stream = NatsTelemetryStream(client)
        await stream.ensure()
        await client.jetstream().purge_stream(STREAM)
        run = uuid4().hex
        seqs = [await stream.publish(2, b"%d" % n, message_id=f"{run}-{n}") for n in range(5)]
        for batch in await stream.pull(2, limit=5, timeout_s=2):
            await stream.acknowledge(batch)
        delivered = await RestoredStreams.work_with(nats_server.nats_url, {2: seqs[2], 3: 0})
        assert delivered[STREAM] == 5, "ten minutes before the position as well"
        await stream.stop_consuming(2)
        again = NatsTelemetryStream(client)  # as a worker that starts
        assert [one.body for one in await again.pull(2, limit=9, timeout_s=2)] == [
            b"%d" % n for n in range(5)
        ]
        begins = (await client.jetstream().consumer_info(STREAM, "aggregate-2")).config
        assert begins.deliver_policy == api.DeliverPolicy.BY_START_TIME
        await client.jetstream().delete_stream(STREAM)
        await client.close()

    asyncio.run(scenario())


def test_an_unreachable_server_is_named() -> None:
    with pytest.raises(StreamUnavailable, match="GRIDPROOF_NATS_URL"):
        asyncio.run(RestoredStreams.work_with("nats://127.0.0.1:1", {}))


def test_missing_streams_are_not_made(nats_server: EmbeddedServers) -> None:
    async def scenario() -> None:
        client = await nats.connect(nats_server.nats_url)
        for stream in (BMS_STREAM, CALLBACK_STREAM, STREAM):
            if stream in {one.config.name for one in await client.jetstream().streams_info()}:
                await client.jetstream().delete_stream(stream)
        done = await RestoredStreams.work_with(nats_server.nats_url, {2: 7})
        assert done == {BMS_STREAM: 0, CALLBACK_STREAM: 0, STREAM: 0}
        await client.close()

    asyncio.run(scenario())
