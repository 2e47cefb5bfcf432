"""The permissions of the MQTT users of the embedded nats-server, tested with a real MQTT client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
import pytest
from gmqtt import Client
from gmqtt.mqtt.constants import MQTTv311
from nats.aio.msg import Msg

from adapters.embedded import EmbeddedServers, meter_logins
from adapters.embedded.meter_logins import MeterLogins, NoEmbeddedBroker
from adapters.mqtt import packets
from application.ports.access.meter_logins import MeterLoginRefused
from tests.patience import ANSWER_S
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
    """Publish on each topic, and last on a permitted topic; returns the subjects that arrived at NATS."""
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
    await asyncio.wait_for(last.wait(), ANSWER_S)
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
    async def scenario() -> tuple[str, bytes]:
        received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        async def on_message(client: Client, topic: str, payload: bytes, qos: int, properties: object) -> int:
            received.put_nowait((topic, payload))
            return 0

        ingest = await _connected(servers.mqtt_url, "ingest-1", on_message)
        subscribed = asyncio.Event()
        ingest.on_subscribe = lambda *_: subscribed.set()
        ingest.subscribe("meters/#", qos=1)
        await asyncio.wait_for(subscribed.wait(), ANSWER_S)
        meter = await _connected(servers.meters_mqtt_url, "meter-2")
        meter.publish(_TOPIC, b'{"kw": 1.5}', qos=1)
        first = await asyncio.wait_for(received.get(), ANSWER_S)
        await meter.disconnect()
        await ingest.disconnect()
        return first

    assert asyncio.run(scenario()) == (_TOPIC, b'{"kw": 1.5}')


def test_a_meter_cannot_read_readings(servers: EmbeddedServers) -> None:
    async def scenario() -> list[bytes]:
        overheard: list[bytes] = []

        async def on_message(client: Client, topic: str, payload: bytes, qos: int, properties: object) -> int:
            overheard.append(payload)
            return 0

        spy = await _connected(servers.meters_mqtt_url, "meter-spy", on_message)
        answered = asyncio.Event()
        spy.on_subscribe = lambda *_: answered.set()
        spy.subscribe("meters/#", qos=0)
        await asyncio.wait_for(answered.wait(), ANSWER_S)
        await _published_by_a_meter(servers, [_TOPIC])
        await spy.disconnect()
        return overheard

    assert asyncio.run(scenario()) == []


def test_a_login_without_a_password_is_refused(servers: EmbeddedServers) -> None:
    async def refused() -> None:
        url = f"nats://127.0.0.1:{servers.nats.ports['nats']}"
        await nats.connect(url, max_reconnect_attempts=0, allow_reconnect=False)

    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        asyncio.run(refused())


def _login(servers: EmbeddedServers, facility_id: str) -> str:
    password = MeterLogins(servers.data_dir).create(facility_id)
    return f"mqtt://{facility_id}:{password}@127.0.0.1:{servers.nats.ports['mqtt']}"


FOREIGN = (
    "meters/fac-002/m-1/readings",
    "meters/fac-001-b/m-1/readings",
    "meters/fac-001",
    "meters/fac-001/m-1/other",
    "commands/fac-001",
)


@pytest.mark.parametrize("qos", [0, 1])
def test_the_login_of_a_facility_publishes_for_that_facility_only(servers: EmbeddedServers, qos: int) -> None:
    """The test observes with a QoS 1 session, like that of ingest. Each topic uses its own connection, because the
    broker may close it."""
    url = _login(servers, f"fac-00{qos + 3}")

    async def scenario() -> list[tuple[str, bytes]]:
        received: list[tuple[str, bytes]] = []
        last = asyncio.Event()

        async def on_message(client: Client, topic: str, payload: bytes, qos: int, properties: object) -> int:
            received.append((topic, payload))
            if payload == b"last":
                last.set()
            return 0

        ingest = await _connected(servers.mqtt_url, f"ingest-{qos}", on_message)
        subscribed = asyncio.Event()
        ingest.on_subscribe = lambda *_: subscribed.set()
        ingest.subscribe("#", qos=1)
        await asyncio.wait_for(subscribed.wait(), ANSWER_S)
        own = urlsplit(url).username or ""
        for n, topic in enumerate((*FOREIGN, f"meters/{own}/m-1/readings")):
            meter = await _connected(url, f"meter-{qos}-{n}")
            meter.publish(topic.replace("fac-001", own), b"last" if own in topic else b"{}", qos=qos)
            await meter.disconnect()
        await asyncio.wait_for(last.wait(), ANSWER_S)
        await ingest.disconnect()
        return received

    _wait_until_it_may_log_in(url)
    assert asyncio.run(scenario()) == [(f"meters/{urlsplit(url).username}/m-1/readings", b"last")]


def test_logins_are_created_and_revoked_while_the_server_runs(servers: EmbeddedServers) -> None:
    kept = _login(servers, "fac-008")
    _wait_until_it_may_log_in(kept)  # the broker may refuse any user during a reload

    async def scenario() -> None:
        ingest = await _connected(servers.mqtt_url, "ingest-2")
        left = asyncio.Event()
        ingest.on_disconnect = lambda *_: left.set()
        url = await asyncio.to_thread(_login, servers, "fac-009")
        await asyncio.to_thread(_wait_until_it_may_log_in, url)
        meter = await _connected(url, "meter-9")
        gone = asyncio.Event()
        meter.on_disconnect = lambda *_: gone.set()
        meter.set_config({"reconnect_retries": 0})
        with pytest.raises(MeterLoginRefused, match="has a login already"):
            _login(servers, "fac-009")
        await asyncio.to_thread(MeterLogins(servers.data_dir).revoke, "fac-009")
        await asyncio.wait_for(gone.wait(), ANSWER_S)
        assert not left.is_set(), "a user that was not revoked stays connected"
        await ingest.disconnect()
        assert not await _may_log_in(url)

    asyncio.run(scenario())
    servers.nats.kill()
    servers.nats.start()
    assert asyncio.run(_may_log_in(kept))


@pytest.mark.parametrize("facility_id", ["meters", "gridproof", "*", "fac.001", 'fac"', "", "a" * 64])
def test_an_invalid_facility_id_gets_no_login(servers: EmbeddedServers, facility_id: str) -> None:
    with pytest.raises(MeterLoginRefused):
        MeterLogins(servers.data_dir).create(facility_id)


def test_a_folder_without_a_broker_has_no_logins(tmp_path: Path) -> None:
    with pytest.raises(NoEmbeddedBroker):
        MeterLogins(tmp_path)


async def _may_log_in(url: str) -> bool:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    login = packets.connect(
        "3.1.1",
        "tries",
        user=parts.username,
        password=parts.password,
        keepalive_s=60,
        receive_maximum=1,
        session_expiry_s=None,
    )
    writer.write(login)
    answer = await asyncio.wait_for(reader.read(4), ANSWER_S)
    writer.close()
    return answer[3:4] == b"\x00"


def _wait_until_it_may_log_in(url: str) -> None:
    """The server reloads its users asynchronously, not before the command returns."""
    deadline_s = time.monotonic() + ANSWER_S
    while not asyncio.run(_may_log_in(url)):
        assert time.monotonic() < deadline_s, "the login is still refused"
        time.sleep(0.02)


def test_a_revocation_that_failed_at_the_broker_can_be_repeated(
    servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored is in force: a login that the broker still accepts is not counted as revoked."""
    logins = MeterLogins(servers.data_dir)
    logins.create("fac-010")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as failing:
        failing.setattr(meter_logins, "_write_users", full)
        with pytest.raises(OSError, match="no space"):
            logins.revoke("fac-010")
    assert "fac-010" in logins.facility_ids()
    logins.revoke("fac-010")
    assert "fac-010" not in logins.facility_ids()
