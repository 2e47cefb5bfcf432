"""The stream of BMS work is purged at random during a DR event on real servers: nothing is lost, or done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from adapters.nats.bms_work import BMS_STREAM
from adapters.nats.connection import connect
from domain.dispatch import Dispatch
from interfaces.simulators.bms.journal import COMMANDED
from tests.chaos.small_system import SmallSystem, small_system
from tests.sample_values import NOW
from tests.servers import Database

LOOKS_EVERY_S = 0.002
SEEDS = range(8)
WINDOW = (NOW + timedelta(minutes=15), NOW + timedelta(minutes=35))
"""70 s of wall time until its end."""
PATIENCE_S = 360.0


class Purger:
    """Purges the stream with a chance of `chance` whenever it is found to hold something, `most` times."""

    def __init__(self, nats_url: str, seed: int, *, chance: float, most: int) -> None:
        self.purged = 0
        """The number of messages that were lost."""
        self._nats_url, self._rng, self._chance, self._most = nats_url, Random(seed), chance, most
        self._stop = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Purger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    async def _run(self) -> None:
        client = await connect(self._nats_url, name="purger")
        js, times = client.jetstream(), 0
        while not self._stop.is_set() and times < self._most:
            held = await _messages(js)
            if held and self._rng.random() < self._chance:
                await js.purge_stream(BMS_STREAM)
                self.purged, times = self.purged + held, times + 1
            await asyncio.sleep(LOOKS_EVERY_S)
        await client.close()


async def _messages(js: JetStreamContext) -> int:
    try:
        return (await js.stream_info(BMS_STREAM)).state.messages
    except NotFoundError:
        return 0  # no worker has made it yet


def check(system: SmallSystem) -> int:
    """Both buildings served and are restored, and nothing was done twice; returns how often work was issued again."""
    assert [dispatch.status for dispatch in system.dispatches()] == ["restored", "restored"]
    assert system.dr_event.outcome == "full"
    times = Counter(entry.command_id for entry in system.journal if entry.action in COMMANDED)
    assert max(times.values()) == 1
    entries = system.events.read_after(0, 10_000)
    return sum(isinstance(entry.domain_event, Dispatch.BmsCommandReissued) for entry in entries)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", SEEDS)
def test_purges_at_random_lose_nothing(database: Database, nats_url: str, tmp_path: Path, seed: int) -> None:
    with small_system(database, nats_url, tmp_path, "", window=WINDOW) as system:
        with Purger(nats_url, seed, chance=0.5, most=12) as purger:
            system.until("completed", lambda: system.dr_event.status == "completed", PATIENCE_S)
        assert purger.purged > 0
        assert check(system) > 0
