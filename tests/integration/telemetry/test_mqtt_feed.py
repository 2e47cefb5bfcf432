"""The MQTT feed on the brokers it meets: nats-server, and Mosquitto where it is installed."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.embedded import EmbeddedServers
from adapters.mqtt import MqttMeterFeed, MqttSubscriptionRefused
from interfaces.simulators.mqtt_outbox import MqttOutbox
from tests.conftest import DebianCommand


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """(URL of the reader, URL of the meters)."""
    if request.param == "nats":
        servers: EmbeddedServers = request.getfixturevalue("nats_server")
        yield servers.mqtt_url, servers.meters_mqtt_url
        return
    command: DebianCommand = request.getfixturevalue("debian_command")
    program = command("mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    server = subprocess.Popen([program, "-c", settings], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"mqtt://127.0.0.1:{port}", f"mqtt://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("mosquitto did not come up")


def test_a_message_without_room_comes_again_until_there_is(broker: tuple[str, str]) -> None:
    async def story() -> None:
        reader, meters = broker
        feed, stop = MqttMeterFeed(reader, client_id=f"feed-{uuid4().hex[:8]}"), asyncio.Event()
        kept: list[bytes] = []
        refusals = 0

        async def take(topic: str, payload: bytes) -> bool:
            nonlocal refusals
            assert topic == "meters/fac-001/m1/readings"
            if refusals < 3:
                refusals += 1
                return False
            kept.append(payload)
            if set(kept) == {b"0", b"1", b"2", b"3"}:
                stop.set()
            return True

        running = asyncio.create_task(feed.run(take, stop))
        await asyncio.wait_for(feed.subscribed.wait(), 20)
        outbox = MqttOutbox(meters, f"meters-{uuid4().hex[:8]}")
        sending = asyncio.create_task(outbox.run())
        for number in range(4):
            outbox.put("meters/fac-001/m1/readings", str(number).encode())
        await asyncio.wait_for(running, 40)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert refusals == 3

    asyncio.run(story())


def test_an_acknowledged_message_does_not_come_again(broker: tuple[str, str]) -> None:
    async def story() -> None:
        reader, meters = broker
        client_id = f"feed-{uuid4().hex[:8]}"
        first = await _taken(reader, client_id, meters, [b"1", b"2"])
        second = await _taken(reader, client_id, meters, [b"3"])
        assert (first, second) == ([b"1", b"2"], [b"3"])

    asyncio.run(story())


async def _taken(reader: str, client_id: str, meters: str, payloads: list[bytes]) -> list[bytes]:
    feed, stop = MqttMeterFeed(reader, client_id=client_id), asyncio.Event()
    kept: list[bytes] = []

    async def take(_topic: str, payload: bytes) -> bool:
        kept.append(payload)
        return True

    running = asyncio.create_task(feed.run(take, stop))
    await asyncio.wait_for(feed.subscribed.wait(), 20)
    outbox = MqttOutbox(meters, f"meters-{uuid4().hex[:8]}")
    sending = asyncio.create_task(outbox.run())
    for payload in payloads:
        outbox.put("meters/fac-001/m1/readings", payload)
    for _ in range(200):
        if len(kept) >= len(payloads):
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # the acknowledgements are on their way
    stop.set()
    await running
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    return kept


def test_a_reader_without_the_right_to_read_is_told_so(nats_server: EmbeddedServers) -> None:
    async def take(_topic: str, _payload: bytes) -> bool:
        return True

    async def story() -> None:
        feed = MqttMeterFeed(nats_server.meters_mqtt_url, client_id=f"feed-{uuid4().hex[:8]}")
        await asyncio.wait_for(feed.run(take, asyncio.Event()), 20)

    with pytest.raises(MqttSubscriptionRefused):
        asyncio.run(story())
