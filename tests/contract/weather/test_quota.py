"""The contract of WeatherQuota, and the shared quota with Valkey and while Valkey is
unavailable."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.embedded import EmbeddedServers
from adapters.redis.weather_quota import CachedWeatherQuota
from application.access.token_bucket import TokenBucket
from application.ports.weather.quota import WeatherQuota
from application.weather.monthly_allowance import MONTH_S, monthly_allowance
from tests import servers
from tests.fakes.clock import FakeClock
from tests.fakes.weather.quota import FakeWeatherQuota

DEAD_CACHE = "redis://127.0.0.1:9/0"
QUOTA = 100
AT_ONCE = 10

Make = Callable[[], WeatherQuota]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["fake", "memory", "valkey", "dead_cache"])
def make(request: pytest.FixtureRequest, clock: FakeClock) -> Make:
    if request.param == "fake":
        return lambda: FakeWeatherQuota(QUOTA)
    redis_url = {"memory": None, "dead_cache": DEAD_CACHE}.get(request.param)
    if request.param == "valkey":
        server: EmbeddedServers = request.getfixturevalue("valkey_server")
        redis_url = server.redis_url
    namespace = f"test-{uuid4()}"
    return lambda: CachedWeatherQuota(QUOTA, clock, redis_url=redis_url, namespace=namespace)


async def allowed_of(quota: WeatherQuota, tries: int) -> int:
    return sum([(await quota.take()).allowed for _ in range(tries)])


def test_a_tenth_of_the_quota_may_be_used_at_once_and_then_a_call_waits(make: Make) -> None:
    async def scenario() -> None:
        quota = make()
        assert await allowed_of(quota, AT_ONCE - 1) == AT_ONCE - 1
        for _ in range(3):
            assert ((use := await quota.usage()).allowed, use.used) == (True, AT_ONCE - 1)
        assert (await quota.take()).allowed
        refused = await quota.take()
        assert await quota.usage() == refused
        assert (refused.allowed, refused.used, refused.quota) == (False, AT_ONCE, QUOTA)
        assert refused.retry_after_s == pytest.approx(MONTH_S / (QUOTA - AT_ONCE))

    asyncio.run(scenario())


@pytest.mark.parametrize("make", ["memory", "valkey", "dead_cache"], indirect=True)
def test_the_bucket_refills_over_time_and_the_count_restarts_each_month(make: Make, clock: FakeClock) -> None:
    async def scenario() -> None:
        quota = make()
        await allowed_of(quota, AT_ONCE)
        clock.moment += timedelta(seconds=3.5 * MONTH_S / (QUOTA - AT_ONCE))
        assert await allowed_of(quota, 5) == 3
        clock.moment = datetime(2026, 8, 10, tzinfo=UTC)
        assert (await quota.take()).used == 1

    asyncio.run(scenario())


def test_processes_share_one_bucket(valkey_server: EmbeddedServers, clock: FakeClock) -> None:
    async def scenario() -> None:
        namespace = f"test-{uuid4()}"
        one, other = (
            CachedWeatherQuota(QUOTA, clock, redis_url=valkey_server.redis_url, namespace=namespace)
            for _ in range(2)
        )
        taken = await asyncio.gather(*(quota.take() for _ in range(AT_ONCE) for quota in (one, other)))
        assert sum(use.allowed for use in taken) == AT_ONCE

    asyncio.run(scenario())


def test_systems_do_not_share_a_bucket(valkey_server: EmbeddedServers, clock: FakeClock) -> None:
    async def scenario() -> None:
        one, other = (
            CachedWeatherQuota(
                QUOTA, clock, redis_url=valkey_server.redis_url, namespace=f"gridproof:{uuid4()}"
            )
            for _ in range(2)
        )
        assert [(await one.take()).used for _ in range(2)] == [1, 2]
        assert (await other.take()).used == 1

    asyncio.run(scenario())


def test_calls_made_during_a_cache_outage_are_counted_after_it(clock: FakeClock) -> None:
    wall = [0.0]

    async def scenario() -> None:
        with servers.valkey_server() as server:
            quota = CachedWeatherQuota(QUOTA, clock, redis_url=server.redis_url, monotonic=lambda: wall[0])
            assert (await quota.take()).shared
            server.valkey.kill()
            uses = [await quota.take() for _ in range(4)]
            assert [(use.allowed, use.shared, use.used) for use in uses[-1:]] == [(True, False, 5)]
            server.valkey.start()
            wall[0] += 10.0
            back = await quota.take()
            # Counts in the cache may be lost with the cache. The four local calls are not lost.
            assert back.shared
            assert back.used >= 5

    asyncio.run(scenario())


@given(
    quota=st.integers(100, 5_000),
    pauses_s=st.lists(st.floats(0.0, 3 * 86_400.0), min_size=1, max_size=60),
    burst=st.integers(1, 60),
)
def test_the_calls_in_any_31_days_do_not_exceed_the_quota(
    quota: int, pauses_s: list[float], burst: int
) -> None:
    allowance = monthly_allowance(quota)
    bucket = TokenBucket(allowance.at_once, 0.0)
    now_s, calls = 0.0, list[float]()
    for pause_s in pauses_s:
        now_s += pause_s
        for _ in range(burst):
            if bucket.filled(allowance, now_s) >= 1:
                bucket.size -= 1
                calls.append(now_s)
    for first in calls:
        assert sum(first <= at <= first + MONTH_S for at in calls) <= quota + 1e-6
