"""Requests in progress fail when the server of the telemetry log dies, because its successor never answers them."""

import asyncio
from contextlib import suppress

import nats
import pytest
from nats.aio.client import Client

from adapters.nats.telemetry_stream import NatsTelemetryStream
from application.ports.telemetry.stream import StreamUnavailable
from tests.frozen_process import freeze
from tests.integration.telemetry.conftest import TelemetryPath, eventually
from tests.patience import ANSWER_S

NEVER_S = 600.0
"""Longer than the test's own deadline."""


async def restarted(path: TelemetryPath, client: Client) -> None:
    before = client.stats["reconnects"]
    await asyncio.to_thread(path.servers.nats.kill)
    await asyncio.to_thread(path.servers.nats.start)
    await eventually(lambda: client.is_connected and client.stats["reconnects"] > before)


def test_a_publish_lost_with_its_server_is_retried_at_once(path: TelemetryPath) -> None:
    async def scenario() -> None:
        client = await nats.connect(path.servers.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        stream = NatsTelemetryStream(client, answer_within_s=NEVER_S)
        await stream.publish(0, b"first", message_id="first")
        pid = path.servers.nats.pid
        assert pid is not None
        freeze(pid)
        publishing = asyncio.create_task(stream.publish(0, b"x", message_id="x"))
        await asyncio.sleep(0.2)
        await restarted(path, client)
        with pytest.raises(StreamUnavailable, match="ConnectionReconnecting"):
            await publishing
        # The message was stored before or is stored now. Requests over the new connection are answered.
        assert await stream.publish(0, b"x", message_id="x") == 2
        await client.close()

    asyncio.run(scenario())


def test_an_acknowledgement_of_a_message_from_an_earlier_server_waits_for_no_answer(
    path: TelemetryPath,
) -> None:
    async def scenario() -> None:
        client = await nats.connect(path.servers.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        stream = NatsTelemetryStream(client, ack_wait_s=0.5, answer_within_s=NEVER_S)
        for name in ("a", "b"):
            await stream.publish(0, name.encode(), message_id=name)
        taken = await stream.pull(0, limit=2, timeout_s=ANSWER_S)
        await restarted(path, client)
        await stream.acknowledge_all(taken)
        # A message whose delivery the new server has not stored is redelivered and acknowledged as usual. One that it
        # has stored may be redelivered before the server has read our acknowledgement; it does not respond to a second
        # one.
        again = NatsTelemetryStream(client, ack_wait_s=0.5, answer_within_s=0.5)
        async with asyncio.timeout(ANSWER_S):
            while (await stream.fill()).unprocessed:
                if batches := await again.pull(0, limit=2, timeout_s=1):
                    with suppress(StreamUnavailable):
                        await again.acknowledge_all(batches)
        await client.close()

    asyncio.run(scenario())
