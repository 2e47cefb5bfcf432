"""A stopped watch worker closes its connections to utilities."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from application.ports.callback import UtilityNotifier
from interfaces.bootstrap.kinds.watch import run
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.settings.settings import Settings
from tests.planted_faults import LosingNotifier
from tests.servers import Database

WITHIN_S = 60.0


@pytest.fixture
def stores(database: Database, tmp_path: Path) -> Iterator[Stores]:
    with closing(open_stores(Settings(data_dir=tmp_path, database_url=database.app_dsn))) as opened:
        yield opened


def test_a_stopped_worker_closes_its_notifier(stores: Stores) -> None:
    closed: list[str] = []

    class Noted(LosingNotifier):
        async def aclose(self) -> None:
            await super().aclose()
            closed.append("notifier")

    def wrap(notifier: UtilityNotifier) -> UtilityNotifier:
        return Noted(notifier)

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(run(stores, stop, wrap=wrap))
        await asyncio.sleep(0.5)
        assert closed == []
        stop.set()
        await asyncio.wait_for(running, WITHIN_S)

    asyncio.run(scenario())
    assert closed == ["notifier"]
