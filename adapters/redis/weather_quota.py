"""The weather quota in Redis or Valkey; counted in this process while that is down, and added there afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from adapters.redis.connections import cache_pool
from application.access.token_bucket import TokenBucket
from application.circuit_breaker import CircuitBreaker
from application.ports.clock import Clock
from application.ports.weather.quota import QuotaUse
from application.weather.monthly_allowance import MONTH_S, monthly_allowance

log = structlog.get_logger("weather_quota")

NAMESPACE, _NAME = "gridproof", ":weather-quota"
ANSWER_WITHIN_S = 0.25
BREAKER_OPEN_S = 5.0
"""How long the shared quota is not called after a failure."""
TTL_WALL_S = 63 * 86_400

# The bucket of application/access/token_bucket.py in one step. ARGV: now, capacity, per second, month, calls counted
# locally meanwhile, time to live, calls to take.
_TAKE = """
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'month', 'used')
local now, capacity, per_s = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens, at = tonumber(kept[1] or capacity), tonumber(kept[2] or now)
local used = kept[3] == ARGV[4] and tonumber(kept[4] or '0') or 0
tokens = math.min(capacity, tokens + math.max(0, now - at) * per_s) - tonumber(ARGV[5])
used = used + tonumber(ARGV[5])
local allowed = 0
if tokens >= 1 then
    allowed, tokens, used = 1, tokens - tonumber(ARGV[7]), used + tonumber(ARGV[7])
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens), 'at', string.format('%.6f', math.max(now, at)),
    'month', ARGV[4], 'used', string.format('%d', used))
redis.call('EXPIRE', KEYS[1], ARGV[6])
return {allowed, string.format('%.9f', tokens), used}
"""


class CachedWeatherQuota:
    """Implements WeatherQuota, in clock time. `redis_url` None counts in this process only. Systems of different
    `namespace` do not count together."""

    def __init__(
        self,
        quota_per_month: int,
        clock: Clock,
        *,
        redis_url: str | None = None,
        namespace: str = NAMESPACE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quota = quota_per_month
        self._key = f"{namespace}{_NAME}"
        self._allowance = monthly_allowance(quota_per_month)
        self._clock = clock
        self._redis = None if redis_url is None else _client(redis_url)
        self._script = None if self._redis is None else self._redis.register_script(_TAKE)
        self._bucket = TokenBucket(self._allowance.at_once, clock.now().timestamp())
        """As last read from the cache, or this process's own."""
        self._month, self._used = "", 0
        self._unsynced_calls = 0
        """Calls allowed here that the shared count does not include yet."""
        self._breaker = CircuitBreaker(open_s=BREAKER_OPEN_S, monotonic=monotonic)
        self._lock = asyncio.Lock()
        """So that local calls are added once, over one connection."""

    async def take(self) -> QuotaUse:
        return await self._serialized(1)

    async def usage(self) -> QuotaUse:
        return await self._serialized(0)

    async def _serialized(self, calls: int) -> QuotaUse:
        async with self._lock:
            return await self._count(calls)

    async def _count(self, calls: int) -> QuotaUse:
        if self._script is not None and self._breaker.allows_call():
            try:
                usage = await self._count_shared(calls)
            except (RedisError, OSError, TimeoutError) as error:
                self._breaker.record_failure()
                log.warning("the weather quota is counted in this process", why=type(error).__name__)
            else:
                self._breaker.record_success()
                return usage
        return self._count_locally(calls)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _count_shared(self, calls: int) -> QuotaUse:
        now = self._clock.now()
        allowance, unsynced = self._allowance, self._unsynced_calls
        args: list[str | float] = [
            now.timestamp(),
            allowance.at_once,
            allowance.per_s,
            f"{now:%Y-%m}",
            unsynced,
            TTL_WALL_S,
            calls,
        ]
        assert self._script is not None  # noqa: S101 - for the type alone: the one caller asked
        allowed, tokens, used = await self._script(keys=[self._key], args=args)
        self._unsynced_calls -= unsynced
        self._bucket = TokenBucket(float(tokens), now.timestamp())
        self._month, self._used = f"{now:%Y-%m}", int(used)
        return self._use(allowed=bool(allowed), shared=True)

    def _count_locally(self, calls: int) -> QuotaUse:
        now = self._clock.now()
        if self._month != (month := f"{now:%Y-%m}"):
            self._month, self._used = month, 0
        allowed = self._bucket.filled(self._allowance, now.timestamp()) >= 1
        if allowed:
            self._bucket.size -= calls
            self._used += calls
            self._unsynced_calls += calls
        return self._use(allowed=allowed, shared=self._redis is None)

    def _use(self, *, allowed: bool, shared: bool) -> QuotaUse:
        wait_s = 0.0 if allowed else min(MONTH_S, self._bucket.wait_s(self._allowance))
        return QuotaUse(
            allowed=allowed, retry_after_s=wait_s, used=self._used, quota=self._quota, shared=shared
        )


def _client(redis_url: str) -> Redis:
    """Without retries: a forecast would wait for them."""
    pool = cache_pool(
        redis_url,
        ConnectionPool,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        max_connections=1,
    )
    return Redis.from_pool(pool)
