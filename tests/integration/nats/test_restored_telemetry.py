"""JetStream after a restore of the database: readings once more."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import nats
import pytest
from nats.js import api

from adapters.embedded import EmbeddedServers
from adapters.nats.restored_telemetry import RestoredTelemetry
from adapters.nats.telemetry_stream import STREAM, NatsTelemetryStream
from application.ports.telemetry.stream import StreamUnavailable
from tests.telemetry_log import delete_telemetry_log, pulled


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
        for batch in await pulled(stream, 2, 5):
            await stream.acknowledge(batch)
        delivered = await RestoredTelemetry.deliver_after(nats_server.nats_url, {2: seqs[2], 3: 0})
        assert delivered == 5, "ten minutes before the position as well"
        await stream.stop_consuming(2)
        again = NatsTelemetryStream(client)  # as a worker that starts
        assert [one.body for one in await pulled(again, 2, 5)] == [b"%d" % n for n in range(5)]
        begins = (await client.jetstream().consumer_info(STREAM, "aggregate-2")).config
        assert begins.deliver_policy == api.DeliverPolicy.BY_START_TIME
        await delete_telemetry_log(client.jetstream())
        await client.close()

    asyncio.run(scenario())


def test_an_unreachable_server_is_named() -> None:
    with pytest.raises(StreamUnavailable, match="GRIDPROOF_NATS_URL"):
        asyncio.run(RestoredTelemetry.deliver_after("nats://127.0.0.1:1", {}))


def test_a_missing_log_is_not_made(nats_server: EmbeddedServers) -> None:
    async def scenario() -> None:
        client = await nats.connect(nats_server.nats_url)
        await delete_telemetry_log(client.jetstream())
        assert await RestoredTelemetry.deliver_after(nats_server.nats_url, {2: 7}) == 0
        await client.close()

    asyncio.run(scenario())
