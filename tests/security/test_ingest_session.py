"""H8: at the embedded broker nobody can take over the session in which readings wait for ingest."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.ingest_session import FORMER_CLIENT_ID, ingest_session
from adapters.mqtt import TOPIC_FILTER, MqttMeterFeed, delete_session
from adapters.nats.connection import connect
from adapters.nats.mqtt_sessions import MqttSessions
from interfaces.bootstrap import hand_over_ingest_session, open_stores, with_embedded
from interfaces.settings.settings import Settings
from tests.integration.telemetry import feed_reader
from tests.integration.telemetry.feed_reader import Taken, eventually, reading
from tests.servers import Database


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[EmbeddedServers]:
    """Of a data folder in which an earlier release ran a nats-server."""
    (tmp_path / "data" / "nats" / "jetstream").mkdir(parents=True)
    with EmbeddedServers(tmp_path / "data", postgres=False, valkey=False) as running:
        yield running


async def publish(servers: EmbeddedServers, *payloads: bytes) -> None:
    parts = urlsplit(servers.meters_mqtt_url)
    await feed_reader.publish(
        parts.port or 0, list(payloads), user=parts.username, password=parts.password, client_id="meter"
    )


def test_the_client_id_is_drawn_once_for_each_data_folder(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    other.mkdir()
    drawn = ingest_session(first)
    assert drawn.client_id != FORMER_CLIENT_ID
    assert drawn.former is None  # no nats-server ever ran in it
    assert ingest_session(first) == drawn != ingest_session(other)
    assert (first / "ingest_session.json").stat().st_mode & 0o077 == 0


def test_a_client_under_the_old_constant_id_disturbs_nothing(
    servers: EmbeddedServers, database: Database
) -> None:
    settings = with_embedded(
        Settings(data_dir=servers.data_dir, database_url=database.app_dsn, redis_url="redis://127.0.0.1:1"),
        servers,
    )
    assert settings.mqtt_client_id == servers.ingest_client_id

    async def attack() -> None:
        for _ in range(3):
            with suppress(OSError):  # the server refuses ids that change hands too often
                await delete_session(servers.meters_mqtt_url, client_id="gridproof-ingest")

    async def scenario() -> None:
        await MqttMeterFeed(servers.mqtt_url, client_id=settings.mqtt_client_id).create_session()
        await publish(servers, b"waits")
        await attack()
        taken = Taken()
        async with reading(MqttMeterFeed(servers.mqtt_url, client_id=settings.mqtt_client_id), taken):
            await publish(servers, b"1")
            await attack()
            await publish(servers, b"2")
            await eventually(lambda: set(taken.payloads) == {b"waits", b"1", b"2"})

    asyncio.run(scenario())


def test_the_old_session_is_drained_and_deleted_at_the_first_start(
    servers: EmbeddedServers, database: Database
) -> None:
    settings = with_embedded(
        Settings(data_dir=servers.data_dir, database_url=database.app_dsn, redis_url="redis://127.0.0.1:1"),
        servers,
    )
    assert servers.former_ingest_session == "gridproof-ingest"
    payload = b'{"timestamp": "2026-07-14T21:00:%02dZ", "kw": %d}'

    async def waiting_in_the_old_session() -> set[str]:
        await MqttMeterFeed(servers.mqtt_url, client_id="gridproof-ingest").create_session()
        await publish(servers, *(payload % (number, number) for number in range(20)))
        return await consumers()

    async def consumers() -> set[str]:
        client = await connect(servers.nats_url, name="test")
        try:
            return await MqttSessions(client, TOPIC_FILTER).consumers()
        finally:
            await client.close()

    async def logged() -> int:
        client = await connect(servers.nats_url, name="test")
        try:
            with closing(open_stores(settings, pool_size=1)):
                state = (await client.jetstream().stream_info("TELEMETRY")).state
                return int(state.messages)
        finally:
            await client.close()

    old = asyncio.run(waiting_in_the_old_session())
    assert len(old) == 1
    hand_over_ingest_session(settings, servers)
    left = asyncio.run(consumers())
    assert len(left) == 1
    assert not left & old  # the drawn session, and no other
    assert asyncio.run(logged()) > 0
    assert ingest_session(servers.data_dir).former is None
    hand_over_ingest_session(settings, servers)  # nothing is left to do
