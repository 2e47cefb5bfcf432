"""Every process that connects to NATS starts with a list of servers of which one is available."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from adapters.embedded import EmbeddedServers
from adapters.nats.queue_depths import NatsQueueDepths
from interfaces.bootstrap.doctor import checks
from interfaces.bootstrap.kinds.aggregate import run as run_aggregate
from interfaces.bootstrap.kinds.archive import run as run_archive
from interfaces.bootstrap.kinds.ingest import run as run_ingest
from interfaces.bootstrap.operations import dead_letter_replay
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.settings.settings import Settings
from tests.patience import ANSWER_S
from tests.servers import Database

NOBODY = "nats://127.0.0.1:1"


@pytest.fixture
def stores(database: Database, nats_server: EmbeddedServers) -> Iterator[Stores]:
    settings = Settings(
        database_url=database.app_dsn,
        nats_url=f"{NOBODY}, {nats_server.nats_url}",
        mqtt_url=nats_server.mqtt_url,
    )
    stores = open_stores(settings)
    try:
        yield stores
    finally:
        stores.close()


async def _replay_opens(stores: Stores, stop: asyncio.Event) -> None:
    replay = dead_letter_replay(stores)
    async with replay.stream():
        pass


async def _depths_are_read(stores: Stores, stop: asyncio.Event) -> None:
    queues = NatsQueueDepths(str(stores.settings.nats_url))
    await queues.depths()
    await queues.aclose()


async def _doctor_looks(stores: Stores, stop: asyncio.Event) -> None:
    assert "JetStream" in await checks._nats(str(stores.settings.nats_url))


@pytest.mark.parametrize(
    "start",
    [
        run_ingest,
        run_aggregate,
        run_archive,
        _replay_opens,
        _depths_are_read,
        _doctor_looks,
    ],
)
def test_a_process_starts_if_the_first_listed_server_is_down(
    stores: Stores, start: Callable[[Stores, asyncio.Event], Awaitable[None]]
) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        stop.set()
        await asyncio.wait_for(start(stores, stop), ANSWER_S)

    asyncio.run(scenario())
