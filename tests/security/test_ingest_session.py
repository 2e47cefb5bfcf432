"""H8: at the embedded broker nobody can take over the session in which readings wait for ingest."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from io import StringIO
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.ingest_session import FORMER_CLIENT_ID, ingest_session
from adapters.mqtt import TOPIC_FILTER, MqttMeterFeed, delete_session
from adapters.nats.connection import connect
from adapters.nats.mqtt_sessions import MqttSessions
from adapters.postgres.coordination.exclusive_lock import PostgresExclusiveLock, exclusive_session
from interfaces.bootstrap import IngestHandover, ingest_handover, open_stores, with_embedded
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
    settings = settings_of(servers, database)
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


PAYLOAD = b'{"timestamp": "2026-07-14T21:00:%02dZ", "kw": %d}'


async def consumers(servers: EmbeddedServers) -> set[str]:
    client = await connect(servers.nats_url, name="test")
    try:
        return await MqttSessions(client, TOPIC_FILTER).consumers()
    finally:
        await client.close()


async def waiting_in_the_old_session(servers: EmbeddedServers) -> set[str]:
    await MqttMeterFeed(servers.mqtt_url, client_id="gridproof-ingest").create_session()
    await publish(servers, *(PAYLOAD % (number, number) for number in range(20)))
    return await consumers(servers)


async def logged(servers: EmbeddedServers, settings: Settings) -> int:
    client = await connect(servers.nats_url, name="test")
    try:
        with closing(open_stores(settings, pool_size=1)):
            state = (await client.jetstream().stream_info("TELEMETRY")).state
            return int(state.messages)
    finally:
        await client.close()


def settings_of(servers: EmbeddedServers, database: Database) -> Settings:
    return with_embedded(
        Settings(data_dir=servers.data_dir, database_url=database.app_dsn, redis_url="redis://127.0.0.1:1"),
        servers,
    )


def test_the_old_session_is_drained_and_deleted_at_the_first_start(
    servers: EmbeddedServers, database: Database
) -> None:
    settings = settings_of(servers, database)
    assert servers.former_ingest_session == "gridproof-ingest"

    old = asyncio.run(waiting_in_the_old_session(servers))
    assert len(old) == 1
    IngestHandover(settings, servers).start()
    left = asyncio.run(consumers(servers))
    assert len(left) == 1
    assert not left & old  # the drawn session, and no other
    assert asyncio.run(logged(servers, settings)) > 0
    assert ingest_session(servers.data_dir).former is None
    IngestHandover(settings, servers).start()  # nothing is left to do


def test_a_handover_that_fails_is_tried_again_while_ingest_reads(
    servers: EmbeddedServers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt fails at the end of its time, as where more waits than can be drained in it."""
    settings = settings_of(servers, database)
    monkeypatch.setattr(ingest_handover, "WITHIN_S", 0.0)

    async def scenario() -> None:
        old = await waiting_in_the_old_session(servers)
        ingest = PostgresExclusiveLock(exclusive_session(database.app_dsn, "ingest"), "ingest")
        feed = MqttMeterFeed(servers.mqtt_url, client_id=settings.mqtt_client_id)
        handover = IngestHandover(settings, servers, again_after_s=0.1)
        try:
            await asyncio.to_thread(handover.start)
            assert servers.former_ingest_session is not None
            async with ingest.held(), reading(feed, Taken()):
                monkeypatch.setattr(ingest_handover, "WITHIN_S", 60.0)
                await eventually(lambda: servers.former_ingest_session is None)
        finally:
            handover.stop()
        assert not await consumers(servers) & old
        assert await logged(servers, settings) > 0
        assert ingest_session(servers.data_dir).former is None

    asyncio.run(scenario())


def test_a_stop_ends_the_attempt_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Queue[str]()

    async def hand_over(_stores: object, former: str) -> None:
        attempts.put(former)
        if attempts.qsize() == 1:
            raise ConnectionError("the broker is away")
        await asyncio.sleep(3_600)

    monkeypatch.setattr(ingest_handover, "_hand_over", hand_over)
    monkeypatch.setattr(ingest_handover, "open_stores", lambda *_, **__: StringIO())
    servers: Any = SimpleNamespace(ingest_client_id="drawn", former_ingest_session="gridproof-ingest")
    handover = IngestHandover(Settings(mqtt_client_id="drawn"), servers, again_after_s=0.01)
    handover.start()
    while attempts.qsize() < 2:
        time.sleep(0.01)
    assert "ingest handover" in [thread.name for thread in threading.enumerate()]
    handover.stop()
    assert "ingest handover" not in [thread.name for thread in threading.enumerate()]
    assert servers.former_ingest_session == "gridproof-ingest"
