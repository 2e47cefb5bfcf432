"""The number of queries to PostgreSQL stays bounded while a thousand readers lose the real cache."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from os import kill
from threading import Lock
from time import monotonic
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.embedded import EmbeddedServers
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from adapters.redis import shared_cache
from adapters.redis.shared_cache import RedisSharedCache
from application.ports.clock import Clock
from application.ports.telemetry.store import CurrentValue
from application.telemetry.cached_reader import FRESH_S
from application.telemetry.current_values import CurrentValues, WriteThrough
from domain.telemetry.meter_reading import MeterReading
from tests import servers
from tests.frozen_process import freeze
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer

READERS = 1_000
FACILITIES = [f"fac-{n:03}" for n in range(50)]


class CountedStore(PostgresTelemetryStore):
    """A store that counts the queries for current values and their facilities."""

    def __init__(self, pool: ConnectionPool[Any], clock: Clock) -> None:
        super().__init__(pool, clock)
        self.queries = self.facilities = self.under_way = self.most_under_way = 0
        self._lock = Lock()

    def current(self, facility_ids: Sequence[str]) -> list[CurrentValue]:
        with self._lock:
            self.queries += 1
            self.facilities += len(facility_ids)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return super().current(facility_ids)
        finally:
            with self._lock:
                self.under_way -= 1


@pytest.fixture
def store(database: Database) -> Iterator[CountedStore]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4, timeout=2) as pool:
        counted = CountedStore(pool, SystemClock())
        now = SystemClock().now()
        counted.write_readings(0, 1, [MeterReading(name, "m", now, 10.0, 1.0) for name in FACILITIES])
        yield counted


@pytest.fixture
def cache_server() -> Iterator[EmbeddedServers]:
    """A server that the test kills."""
    with servers.valkey_server() as running:
        yield running


class Crowd:
    """Readers that make requests without a pause, and their results by source."""

    def __init__(self, values: CurrentValues) -> None:
        self._values = values
        self.sources: Counter[str] = Counter()

    async def reads(self, each: int) -> None:
        """Each reader makes this many requests, each for a random facility."""
        await asyncio.gather(*(self._read(each, random.Random(n)) for n in range(READERS)))

    async def _read(self, times: int, draw: random.Random) -> None:
        for _ in range(times):
            name = draw.choice(FACILITIES)
            answer = (await self._values.current([name]))[name]
            assert answer.value is not None
            assert answer.value.kw == 10.0
            self.sources[answer.source] += 1


def expected_at_most(began: float) -> int:
    """The maximum number of reads: each facility once per lifetime of a cached value, and once at the start."""
    return len(FACILITIES) * (2 + int((monotonic() - began) / FRESH_S))


@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_a_dead_cache_causes_no_stampede_on_the_store(
    how: str, store: CountedStore, cache_server: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "hangs":
        monkeypatch.setattr(shared_cache, "ANSWER_WITHIN_S", 0.25)

    async def scenario() -> None:
        cache = RedisSharedCache(cache_server.redis_url)
        crowd = Crowd(CurrentValues(store, SystemClock(), cache))
        began = monotonic()
        try:
            await crowd.reads(5)
            under = asyncio.create_task(crowd.reads(20))
            while crowd.sources.total() < READERS * 8:  # noqa: ASYNC110 - the readers decide when
                await asyncio.sleep(0)
            _stop(cache_server, how)
            await under
            await crowd.reads(5)
        finally:
            if how == "hangs":
                kill(_pid(cache_server), signal.SIGCONT)
            await cache.aclose()
        assert crowd.sources.total() == READERS * 30
        assert store.facilities <= expected_at_most(began)
        assert store.most_under_way == 1

    asyncio.run(scenario())


def test_a_cache_that_was_dead_from_the_start_causes_no_stampede(store: CountedStore) -> None:
    async def scenario() -> None:
        cache = RedisSharedCache("redis://127.0.0.1:9/0")
        crowd = Crowd(CurrentValues(store, SystemClock(), cache))
        began = monotonic()
        await crowd.reads(10)
        await cache.aclose()
        assert store.facilities <= expected_at_most(began)
        assert store.queries <= len(FACILITIES)
        assert store.most_under_way == 1

    asyncio.run(scenario())


def test_a_restarted_cache_is_used_again(
    store: CountedStore, cache_server: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_cache, "BREAKER_OPEN_S", 0.1)

    async def scenario() -> None:
        cache = RedisSharedCache(cache_server.redis_url)
        crowd = Crowd(CurrentValues(store, SystemClock(), cache))
        cache_server.valkey.kill()
        await crowd.reads(2)
        await asyncio.to_thread(cache_server.valkey.start)
        through = WriteThrough(store, SystemClock(), cache)
        async with asyncio.timeout(ANSWER_S):
            through.note(FACILITIES)
            while await through.write() < len(FACILITIES):
                through.note(FACILITIES)
                await asyncio.sleep(0.05)
        queries = store.queries
        fresh = Crowd(CurrentValues(store, SystemClock(), cache))
        began = monotonic()
        await fresh.reads(1)
        if monotonic() - began < FRESH_S / 2:  # otherwise the values have become stale meanwhile
            assert (fresh.sources["cache"], store.queries) == (READERS, queries)
        await cache.aclose()

    asyncio.run(scenario())


def test_every_reader_gets_the_last_value_while_cache_and_database_are_down(
    store: CountedStore, cache_server: EmbeddedServers, postgres_server: PostgresServer
) -> None:
    class Later(SystemClock):
        ahead = timedelta(0)

        def now(self) -> Any:
            return super().now() + self.ahead

    async def scenario() -> None:
        clock = Later()
        cache = RedisSharedCache(cache_server.redis_url)
        values = CurrentValues(store, clock, cache)
        await values.current(FACILITIES)
        cache_server.valkey.kill()
        postgres_server.kill()
        clock.ahead = timedelta(seconds=60)
        crowd = Crowd(values)
        await crowd.reads(2)
        await cache.aclose()
        assert set(crowd.sources) == {"last_known"}
        assert store.most_under_way == 1

    asyncio.run(scenario())


def _stop(cache_server: EmbeddedServers, how: str) -> None:
    if how == "killed":
        cache_server.valkey.kill()
    else:
        freeze(_pid(cache_server))


def _pid(cache_server: EmbeddedServers) -> int:
    pid = cache_server.valkey.pid
    assert pid is not None
    return pid
