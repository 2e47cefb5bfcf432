"""The contract of SharedCache: Valkey's and the fake's. The breaker of the Valkey adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from adapters.embedded import EmbeddedServers
from adapters.redis import shared_cache
from adapters.redis.shared_cache import RedisSharedCache
from application.ports.shared_cache import CacheUnavailable, RateLimitedGet, SharedCache
from tests.fakes.shared_cache import FakeSharedCache
from tests.patience import ANSWER_S

DEAD_CACHE = "redis://127.0.0.1:9/0"
Story = Callable[[SharedCache, str], Coroutine[Any, Any, None]]


@asynccontextmanager
async def opened(redis_url: str) -> AsyncIterator[RedisSharedCache]:
    cache = RedisSharedCache(redis_url)
    try:
        yield cache
    finally:
        await cache.aclose()


def test_two_systems_on_one_cache_share_no_entries(valkey_server: EmbeddedServers) -> None:
    async def scenario() -> None:
        key = uuid4().hex
        caches = [RedisSharedCache(valkey_server.redis_url, namespace=f"gridproof:{n}") for n in "ab"]
        one, other = caches
        await one.put_many({key: b"one"}, ttl_wall_s=60)
        assert await other.get_many([key]) == [None]
        request = [RateLimitedGet(caller=key, key=key)]
        for cache, value in ((one, b"one"), (other, None)):
            [result] = await cache.get_rate_limited(request, every_wall_s=60)
            assert (result.wait_s, result.answer) == (0, value)
        for cache in caches:
            await cache.aclose()

    asyncio.run(scenario())


@pytest.fixture(params=["fake", "valkey"])
def tell(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Run a scenario on a cache with its own key prefix."""

    async def on_valkey(scenario: Story) -> None:
        server: EmbeddedServers = request.getfixturevalue("valkey_server")
        async with opened(server.redis_url) as cache:
            await scenario(cache, f"{uuid4()}:")

    if request.param == "fake":
        return lambda scenario: asyncio.run(scenario(FakeSharedCache(), ""))
    return lambda scenario: asyncio.run(on_valkey(scenario))


def test_entries_are_returned_in_the_order_of_the_keys(tell: Callable[[Story], None]) -> None:
    async def scenario(cache: SharedCache, prefix: str) -> None:
        await cache.put_many({f"{prefix}a": b"\x00\xff", f"{prefix}b": b""}, ttl_wall_s=60.0)
        assert await cache.get_many([f"{prefix}b", f"{prefix}none", f"{prefix}a"]) == [b"", None, b"\x00\xff"]

    tell(scenario)


def test_a_later_answer_replaces_the_first(tell: Callable[[Story], None]) -> None:
    async def scenario(cache: SharedCache, prefix: str) -> None:
        for answer in (b"1", b"2"):
            await cache.put_many({f"{prefix}a": answer}, ttl_wall_s=60.0)
        assert await cache.get_many([f"{prefix}a"]) == [b"2"]

    tell(scenario)


def test_an_expired_entry_is_not_returned(tell: Callable[[Story], None]) -> None:
    async def scenario(cache: SharedCache, prefix: str) -> None:
        await cache.put_many({f"{prefix}a": b"1"}, ttl_wall_s=0.05)
        async with asyncio.timeout(ANSWER_S):
            while await cache.get_many([f"{prefix}a"]) != [None]:  # noqa: ASYNC110 - the cache says when
                await asyncio.sleep(0.01)

    tell(scenario)


def test_empty_requests_are_accepted(tell: Callable[[Story], None]) -> None:
    async def scenario(cache: SharedCache, prefix: str) -> None:
        await cache.put_many({}, ttl_wall_s=1.0)
        assert await cache.get_many([]) == []

    tell(scenario)


def test_a_caller_gets_an_answer_at_most_once_per_interval(tell: Callable[[Story], None]) -> None:
    async def scenario(cache: SharedCache, prefix: str) -> None:
        await cache.put_many({f"{prefix}a": b"\x92\x00\xff", f"{prefix}b": b""}, ttl_wall_s=60.0)
        turns = [
            RateLimitedGet(f"{prefix}{caller}", f"{prefix}{key}")
            for caller, key in (("k1/a", "a"), ("k1/b", "b"), ("k1/a", "a"), ("k2/a", "none"))
        ]
        taken = await cache.get_rate_limited(turns, every_wall_s=30.0)
        assert [one.answer for one in taken] == [b"\x92\x00\xff", b"", None, None]
        assert [one.wait_s > 0 for one in taken] == [False, False, True, False]
        again = await cache.get_rate_limited(turns[:1], every_wall_s=30.0)
        assert 25.0 < again[0].wait_s <= 30.0
        assert await cache.get_rate_limited([], every_wall_s=1.0) == []

    tell(scenario)


def test_a_refused_call_does_not_postpone_the_next_allowed_one(tell: Callable[[Story], None]) -> None:
    async def scenario(cache: SharedCache, prefix: str) -> None:
        turn = RateLimitedGet(f"{prefix}k", f"{prefix}a")
        await cache.get_rate_limited([turn], every_wall_s=5.0)
        refused = 0
        async with asyncio.timeout(ANSWER_S):
            while (await cache.get_rate_limited([turn], every_wall_s=5.0))[0].wait_s:
                refused += 1
                await asyncio.sleep(0.01)
        assert refused

    tell(scenario)


def test_the_breaker_opens_after_two_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> list[str]:
        async with opened(DEAD_CACHE) as cache:
            said = []
            for _ in range(shared_cache.BREAKER_FAILURES + 2):
                with pytest.raises(CacheUnavailable) as raised:
                    await cache.get_many(["a"])
                said.append("breaker open" in str(raised.value))
            return [str(open_now) for open_now in said]

    assert asyncio.run(scenario()) == ["False", "False", "True", "True"]


def test_a_restarted_cache_is_used_again(
    valkey_server: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_cache, "BREAKER_OPEN_S", 0.05)

    async def scenario() -> None:
        async with opened(valkey_server.redis_url) as cache:
            await cache.put_many({"back": b"1"}, ttl_wall_s=600.0)
            valkey_server.valkey.kill()
            try:
                for _ in range(shared_cache.BREAKER_FAILURES + 1):
                    with pytest.raises(CacheUnavailable):
                        await cache.get_many(["back"])
            finally:
                await asyncio.to_thread(valkey_server.valkey.start)
            async with asyncio.timeout(ANSWER_S):
                while True:
                    try:
                        await cache.get_many(["back"])
                    except CacheUnavailable:
                        await asyncio.sleep(0.02)
                    else:
                        return

    asyncio.run(scenario())
