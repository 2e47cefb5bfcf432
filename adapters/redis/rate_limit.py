"""Rate limits in Redis or Valkey, shared by all processes; counted in each process while the cache is down.

A moving window: never more than the limit in any second. While the cache is down each process counts for itself, so
that the limit is loose but still present.
"""

import time
from collections.abc import Callable

import redis
import structlog
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.driver_info import DriverInfo

from adapters.redis.connections import cache_pool
from application.circuit_breaker import CircuitBreaker
from application.ports.access.rate_limit import RateDecision

log = structlog.get_logger("rate_limit")

NAMESPACE = "gridproof"
CACHE_TIMEOUT_S = 0.25
BREAKER_OPEN_S = 5.0
"""How long the cache is not called after a failure."""
MAX_CONNECTIONS = 16
"""A call takes a fraction of a millisecond, so in a burst it is faster to wait for one of these than to open another.
"""


class CachedRateLimiter:
    """Allows `rate_per_s` calls of a key in a second; below one, one call in 1/rate seconds (rounded up).

    `redis_url` None counts in this process only. Systems of different `namespace` do not count together.
    """

    def __init__(
        self,
        rate_per_s: float,
        *,
        redis_url: str | None = None,
        namespace: str = NAMESPACE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._item = _item(rate_per_s, namespace)
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._connections = None if redis_url is None else _connections(redis_url)
        self._shared: MovingWindowRateLimiter | None = None
        if self._connections is not None:
            self._shared = MovingWindowRateLimiter(_storage(self._connections))
        self._breaker = CircuitBreaker(open_s=BREAKER_OPEN_S, monotonic=monotonic)

    @property
    def is_degraded(self) -> bool:
        return self._shared is not None and self._breaker.is_open

    async def hit(self, key: str) -> RateDecision:
        if self._shared is not None and self._breaker.allows_call():
            try:
                decision = await self._decide(self._shared, key)
            except StorageError as error:
                self._shared_failed(error)
            else:
                self._breaker.record_success()
                return decision
        return await self._decide(self._local, key)

    def _shared_failed(self, error: StorageError) -> None:
        """Count a failure; of concurrent calls that fail together only the first is logged."""
        if not self.is_degraded:
            log.warning(
                "the cache failed: rates are counted in this process",
                seconds=BREAKER_OPEN_S,
                error=type(error.storage_error).__name__,
            )
        self._breaker.record_failure()

    async def aclose(self) -> None:
        """Close the connections to the cache."""
        if self._connections is not None:
            await self._connections.aclose()

    async def _decide(self, limiter: MovingWindowRateLimiter, key: str) -> RateDecision:
        if await limiter.hit(self._item, key):
            return RateDecision(allowed=True)
        stats = await limiter.get_window_stats(self._item, key)
        return RateDecision(allowed=False, retry_after_s=max(0.0, stats.reset_time - time.time()))


def _item(rate_per_s: float, namespace: str) -> RateLimitItem:
    if rate_per_s >= 1:
        return RateLimitItemPerSecond(int(rate_per_s), 1, namespace=namespace)
    return RateLimitItemPerSecond(1, -int(-1 // rate_per_s), namespace=namespace)


def _connections(redis_url: str) -> ConnectionPool:
    """Without retries: the next call counts locally instead of waiting. In a burst, calls wait for a connection.

    The driver's version is given here. Otherwise every connection looks it up in the installed packages, which blocks
    the event loop for tens of milliseconds.
    """
    return cache_pool(
        redis_url,
        BlockingConnectionPool,
        timeout=CACHE_TIMEOUT_S,
        socket_timeout=CACHE_TIMEOUT_S,
        socket_connect_timeout=CACHE_TIMEOUT_S,
        max_connections=MAX_CONNECTIONS,
        driver_info=DriverInfo(lib_version=redis.__version__),
    )


def _storage(connections: ConnectionPool) -> RedisStorage:
    return RedisStorage(
        "async+redis://",  # the address is the pool's
        wrap_exceptions=True,
        implementation="redispy",
        connection_pool=connections,  # type: ignore[arg-type]  # its documented type is narrower than its use
    )
