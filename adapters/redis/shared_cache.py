"""The shared cache in Redis or Valkey, behind a circuit breaker."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from adapters.redis.connections import cache_pool
from adapters.resilience import BreakerOpen, guarded, loop_time
from application.circuit_breaker import BreakerState, CircuitBreaker
from application.ports.shared_cache import CacheUnavailable, RateLimitedGet, RateLimitedResult

log = structlog.get_logger("cache")

ANSWER_WITHIN_S = 0.25
BREAKER_FAILURES = 2
BREAKER_OPEN_S = 5.0
NAMESPACE = "gridproof"
_ENTRIES, _RATE_LIMITS = ":answers:", ":turns:"
# One string for all results: the client parses every element of an array in Python. For each: how long to wait (ms),
# the length of the value or -1, the value.
_GET_RATE_LIMITED = """
local taken = {}
for i = 1, #KEYS, 2 do
    local wait, answer = 0, false
    if redis.call('SET', KEYS[i], '', 'NX', 'PX', ARGV[1]) then
        answer = redis.call('GET', KEYS[i + 1])
    else
        wait = math.max(1, redis.call('PTTL', KEYS[i]))
    end
    taken[#taken + 1] = struct.pack('>i4i4', wait, answer and #answer or -1)
    taken[#taken + 1] = answer or ''
end
return table.concat(taken)
"""
_RESULT_HEADER = struct.Struct(">ii")


class RedisSharedCache:
    """Without retries: asking the store is faster than waiting."""

    def __init__(self, redis_url: str, *, namespace: str = NAMESPACE) -> None:
        """Systems of different `namespace` share no entries."""
        pool = cache_pool(
            redis_url,
            ConnectionPool,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
            max_connections=16,
        )
        self._redis = Redis.from_pool(pool)
        self._entries, self._rate_limits = f"{namespace}{_ENTRIES}", f"{namespace}{_RATE_LIMITS}"
        self._rate_limited_get = self._redis.register_script(_GET_RATE_LIMITED)
        self._breaker = CircuitBreaker(
            threshold=BREAKER_FAILURES, open_s=BREAKER_OPEN_S, monotonic=loop_time, on_change=_log_change
        )

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        with self._guarded():
            result = await self._redis.mget([self._entries + key for key in keys])
        return cast("list[bytes | None]", result)

    async def get_rate_limited(
        self, requests: Sequence[RateLimitedGet], *, every_wall_s: float
    ) -> list[RateLimitedResult]:
        if not requests:
            return []
        keys = [
            name
            for request in requests
            for name in (self._rate_limits + request.caller, self._entries + request.key)
        ]
        with self._guarded():
            packed = await self._rate_limited_get(keys=keys, args=[max(1, int(every_wall_s * 1000))])
        return list(_unpacked(cast("bytes", packed)))

    async def put_many(self, answers: Mapping[str, bytes], *, ttl_wall_s: float) -> None:
        if not answers:
            return
        with self._guarded():
            pipeline = self._redis.pipeline(transaction=False)
            for key, answer in answers.items():
                pipeline.set(self._entries + key, answer, px=max(1, int(ttl_wall_s * 1000)))
            await pipeline.execute()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with guarded(self._breaker, failures=(Exception,)):
                yield
        except BreakerOpen as error:
            raise CacheUnavailable(
                f"breaker open: the cache failed, it is not called for {BREAKER_OPEN_S:g} s"
            ) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise CacheUnavailable(f"the cache: {type(error).__name__}: {error}") from error


def _unpacked(packed: bytes) -> Iterator[RateLimitedResult]:
    place = 0
    while place < len(packed):
        wait_ms, length = _RESULT_HEADER.unpack_from(packed, place)
        place += _RESULT_HEADER.size
        end = place + max(0, length)
        yield RateLimitedResult(wait_ms / 1000, packed[place:end] if length >= 0 else None)
        place = end


def _log_change(state: BreakerState) -> None:
    if state != "half-opened":
        log.warning("cache breaker opened" if state == "opened" else "cache breaker closed")
