"""The contract of RateLimiter. Tests that must not depend on waiting use a rate of one call in a long window."""

import asyncio
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from adapters.embedded import EmbeddedServers
from adapters.redis.rate_limit import BREAKER_OPEN_S, MAX_CONNECTIONS, CachedRateLimiter
from application.ports.access.rate_limit import RateDecision, RateLimiter
from tests import servers
from tests.fakes.access.rate_limit import FakeRateLimiter

DEAD_CACHE = "redis://127.0.0.1:9/0"

MakeLimiter = Callable[[float], RateLimiter]


@pytest.fixture(params=["fake", "memory", "valkey", "dead_cache"])
def make(request: pytest.FixtureRequest) -> MakeLimiter:
    """Limiters of a rate. Each test has its own keys, because the cache outlives the test."""
    if request.param == "fake":
        return FakeRateLimiter
    redis_url = {"memory": None, "dead_cache": DEAD_CACHE}.get(request.param)
    if request.param == "valkey":
        server: EmbeddedServers = request.getfixturevalue("valkey_server")
        redis_url = server.redis_url
    namespace = f"test-{uuid4()}"
    return lambda rate: CachedRateLimiter(rate, redis_url=redis_url, namespace=namespace)


async def hits(limiter: RateLimiter, key: str, times: int) -> list[RateDecision]:
    return [await limiter.hit(key) for _ in range(times)]


def test_calls_within_the_rate_are_allowed(make: MakeLimiter) -> None:
    decisions = asyncio.run(hits(make(5), "k", 5))
    assert [decision.allowed for decision in decisions] == [True] * 5


def test_a_call_over_the_rate_is_refused_with_the_time_to_wait(make: MakeLimiter) -> None:
    async def scenario() -> RateDecision:
        limiter = make(3)
        while True:  # until four calls fall into one second
            last = (await hits(limiter, "k", 4))[-1]
            if not last.allowed:
                return last

    refused = asyncio.run(scenario())
    assert 0.0 <= refused.retry_after_s <= 1.0


def test_keys_are_limited_independently(make: MakeLimiter) -> None:
    async def scenario() -> bool:
        limiter = make(2)
        await hits(limiter, "busy", 10)
        return (await limiter.hit("quiet")).allowed

    assert asyncio.run(scenario())


def test_is_degraded_is_true_if_only_this_process_is_counted(
    make: MakeLimiter, request: pytest.FixtureRequest
) -> None:
    async def scenario() -> bool:
        limiter = make(2)
        await limiter.hit("k")
        return limiter.is_degraded

    assert asyncio.run(scenario()) is ("dead_cache" in request.node.callspec.id)


def test_after_the_time_to_wait_a_call_is_allowed(make: MakeLimiter) -> None:
    async def scenario() -> bool:
        limiter = make(1)
        refused = RateDecision(allowed=True)
        while refused.allowed:
            refused = await limiter.hit("k")
        await asyncio.sleep(refused.retry_after_s + 0.05)
        return (await limiter.hit("k")).allowed

    assert asyncio.run(scenario())


def test_fifty_concurrent_calls_do_not_exceed_the_rate(make: MakeLimiter) -> None:
    async def scenario() -> int:
        limiter = make(0.01)
        decisions = await asyncio.gather(*(limiter.hit("k") for _ in range(50)))
        return sum(decision.allowed for decision in decisions)

    assert asyncio.run(scenario()) == 1


def test_two_processes_share_one_limit_through_the_cache(valkey_server: EmbeddedServers) -> None:
    async def scenario() -> int:
        namespace = f"test-{uuid4()}"
        first, second = (
            CachedRateLimiter(0.01, redis_url=valkey_server.redis_url, namespace=namespace) for _ in range(2)
        )
        decisions = [*await hits(first, "k", 3), *await hits(second, "k", 3)]
        await first.aclose()
        await second.aclose()
        return sum(decision.allowed for decision in decisions)

    assert asyncio.run(scenario()) == 1


@pytest.fixture
def mortal_cache() -> Iterator[EmbeddedServers]:
    """A separate Valkey that the test kills."""
    with servers.valkey_server() as running:
        yield running


def test_a_killed_cache_leaves_a_local_limit_and_is_used_again_after_its_restart(
    mortal_cache: EmbeddedServers,
) -> None:
    now = [0.0]

    async def scenario() -> tuple[list[bool], list[bool], list[bool]]:
        limiter = CachedRateLimiter(0.01, redis_url=mortal_cache.redis_url, monotonic=lambda: now[0])
        shared = await hits(limiter, "k", 2)
        await asyncio.to_thread(mortal_cache.valkey.kill)
        local = await hits(limiter, "k", 3)
        await asyncio.to_thread(mortal_cache.valkey.start)
        now[0] += BREAKER_OPEN_S
        again = await hits(limiter, "other", 1)
        elsewhere = CachedRateLimiter(0.01, redis_url=mortal_cache.redis_url)
        again += await hits(elsewhere, "other", 1)
        await limiter.aclose()
        await elsewhere.aclose()
        return (
            [decision.allowed for decision in shared],
            [decision.allowed for decision in local],
            [decision.allowed for decision in again],
        )

    assert asyncio.run(scenario()) == ([True, False], [True, False, False], [True, False])


def test_a_dead_cache_is_tried_once_and_then_skipped() -> None:
    with capture_logs() as logs:
        asyncio.run(hits(CachedRateLimiter(5, redis_url=DEAD_CACHE, monotonic=lambda: 1.0), "k", 20))
    assert [entry["log_level"] for entry in logs] == ["warning"]


@pytest.mark.parametrize(("rate_per_s", "window_s"), [(0.1, 10), (0.3, 4), (1.0, 1), (10.0, 1)])
def test_a_rate_below_one_is_one_call_in_a_longer_window(rate_per_s: float, window_s: int) -> None:
    async def scenario() -> RateDecision:
        limiter = CachedRateLimiter(rate_per_s)
        decision = RateDecision(allowed=True)
        while decision.allowed:
            decision = await limiter.hit("k")
        return decision

    assert window_s - 1 < asyncio.run(scenario()).retry_after_s <= window_s


def test_a_burst_opens_few_connections_and_looks_up_no_package_for_them(
    valkey_server: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up reads the installed packages and blocks the event loop for tens of milliseconds each time."""

    def looked_up() -> str:
        raise AssertionError("the version of the driver was looked up")

    monkeypatch.setattr("redis.utils.get_lib_version", looked_up)

    async def scenario() -> tuple[bool, int]:
        limiter = CachedRateLimiter(1_000, redis_url=valkey_server.redis_url, namespace=f"test-{uuid4()}")
        await asyncio.gather(*(limiter.hit("k") for _ in range(200)))
        assert limiter._connections is not None
        opened = len(limiter._connections._available_connections)
        is_degraded = limiter.is_degraded
        await limiter.aclose()
        return is_degraded, opened

    is_degraded, opened = asyncio.run(scenario())
    assert not is_degraded
    assert 0 < opened <= MAX_CONNECTIONS
