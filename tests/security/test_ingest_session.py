"""H8: at the embedded broker nobody can take over the session in which readings wait for ingest."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.ingest_session import ingest_session
from adapters.mqtt import MqttMeterFeed
from interfaces.bootstrap import with_embedded
from interfaces.settings.settings import Settings
from tests.integration.telemetry import feed_reader
from tests.integration.telemetry.feed_reader import Taken, eventually, reading
from tests.servers import Database


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[EmbeddedServers]:
    with EmbeddedServers(tmp_path / "data", postgres=False, valkey=False) as running:
        yield running


DOCUMENTED_CLIENT_ID = "gridproof-ingest"


async def publish(servers: EmbeddedServers, *payloads: bytes, client_id: str = "meter") -> None:
    parts = urlsplit(servers.meters_mqtt_url)
    await feed_reader.publish(
        parts.port or 0, list(payloads), user=parts.username, password=parts.password, client_id=client_id
    )


def test_the_client_id_is_drawn_once_for_each_data_folder(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    other.mkdir()
    drawn = ingest_session(first)
    assert drawn.client_id != DOCUMENTED_CLIENT_ID
    assert ingest_session(first) == drawn != ingest_session(other)
    assert (first / "ingest_session.json").stat().st_mode & 0o077 == 0


def test_a_client_under_the_documented_id_disturbs_nothing(
    servers: EmbeddedServers, database: Database
) -> None:
    settings = settings_of(servers, database)
    assert settings.mqtt_client_id == servers.ingest_client_id

    async def attack() -> None:
        for _ in range(3):
            with suppress(OSError):  # the server refuses ids that change hands too often
                await publish(servers, client_id=DOCUMENTED_CLIENT_ID)

    async def scenario() -> None:
        async with reading(MqttMeterFeed(servers.mqtt_url, client_id=settings.mqtt_client_id), Taken()):
            pass  # creates the session
        await publish(servers, b"waits")
        await attack()
        taken = Taken()
        async with reading(MqttMeterFeed(servers.mqtt_url, client_id=settings.mqtt_client_id), taken):
            await publish(servers, b"1")
            await attack()
            await publish(servers, b"2")
            await eventually(lambda: set(taken.payloads) == {b"waits", b"1", b"2"})

    asyncio.run(scenario())


def settings_of(servers: EmbeddedServers, database: Database) -> Settings:
    return with_embedded(
        Settings(data_dir=servers.data_dir, database_url=database.app_dsn, redis_url="redis://127.0.0.1:1"),
        servers,
    )
