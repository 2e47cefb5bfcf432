"""What the MQTT users of the embedded nats-server may and may not do, with a real MQTT client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import nats
import pytest
from gmqtt import Client
from gmqtt.mqtt.constants import MQTTv311
from nats.aio.msg import Msg

from adapters.embedded import EmbeddedServers
from tests.servers import nats_server

_TOPIC = "meters/fac-001/m-1/readings"


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    with nats_server() as started:
        yield started


async def _connected(url: str, client_id: str, on_message: Callable[..., Any] | None = None) -> Client:
    parts = urlsplit(url)
    client = Client(client_id)
    if on_message is not None:
        client.on_message = on_message
    client.set_auth_credentials(parts.username, parts.password)
    await client.connect(parts.hostname, parts.port, version=MQTTv311)
    return client


async def _published_by_a_meter(servers: EmbeddedServers, topics: list[str]) -> list[str]:
    """The subjects that arrived, seen from NATS, after a reading on each topic and a last one on ours."""
    arrived: list[str] = []
    last = asyncio.Event()

    async def note(message: Msg) -> None:
        arrived.append(message.subject)
        if message.data == b"last":
            last.set()

    watcher = await nats.connect(servers.nats_url)
    await watcher.subscribe("meters.>", cb=note)
    await watcher.subscribe("commands.>", cb=note)
    await watcher.flush()
    meter = await _connected(servers.meters_mqtt_url, "meter-1")
    for topic in topics:
        meter.publish(topic, b"{}", qos=1)
    meter.publish(_TOPIC, b"last", qos=1)
    await asyncio.wait_for(last.wait(), 10)
    await meter.disconnect()
    await watcher.close()
    return arrived


def test_a_meter_publishes_readings(servers: EmbeddedServers) -> None:
    arrived = asyncio.run(_published_by_a_meter(servers, [_TOPIC]))
    assert arrived == ["meters.fac-001.m-1.readings"] * 2


def test_a_meter_cannot_publish_elsewhere(servers: EmbeddedServers) -> None:
    arrived = asyncio.run(_published_by_a_meter(servers, ["commands/fac-001", "commands"]))
    assert arrived == ["meters.fac-001.m-1.readings"]


def test_ingest_receives_what_a_meter_published_at_qos_1(servers: EmbeddedServers) -> None:
    async def story() -> tuple[str, bytes]:
        received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        async def on_message(client: Client, topic: str, payload: bytes, qos: int, properties: object) -> int:
            received.put_nowait((topic, payload))
            return 0

        ingest = await _connected(servers.mqtt_url, "ingest-1", on_message)
        subscribed = asyncio.Event()
        ingest.on_subscribe = lambda *_: subscribed.set()
        ingest.subscribe("meters/#", qos=1)
        await asyncio.wait_for(subscribed.wait(), 10)
        meter = await _connected(servers.meters_mqtt_url, "meter-2")
        meter.publish(_TOPIC, b'{"kw": 1.5}', qos=1)
        first = await asyncio.wait_for(received.get(), 10)
        await meter.disconnect()
        await ingest.disconnect()
        return first

    assert asyncio.run(story()) == (_TOPIC, b'{"kw": 1.5}')


def test_a_meter_reads_nobodys_readings(servers: EmbeddedServers) -> None:
    async def story() -> list[bytes]:
        overheard: list[bytes] = []

        async def on_message(client: Client, topic: str, payload: bytes, qos: int, properties: object) -> int:
            overheard.append(payload)
            return 0

        spy = await _connected(servers.meters_mqtt_url, "meter-spy", on_message)
        answered = asyncio.Event()
        spy.on_subscribe = lambda *_: answered.set()
        spy.subscribe("meters/#", qos=0)
        await asyncio.wait_for(answered.wait(), 10)
        await _published_by_a_meter(servers, [_TOPIC])
        await spy.disconnect()
        return overheard

    assert asyncio.run(story()) == []


def test_nobody_enters_without_a_password(servers: EmbeddedServers) -> None:
    async def refused() -> None:
        url = f"nats://127.0.0.1:{servers.nats.ports['nats']}"
        await nats.connect(url, max_reconnect_attempts=0, allow_reconnect=False)

    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        asyncio.run(refused())
