"""Remembered answers in Redis or Valkey, behind a breaker: one that is away or hangs is not asked for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import structlog
from purgatory import AsyncCircuitBreakerFactory, ContextChanged, Event
from purgatory.domain.model import OpenedState
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from application.ports.current_cache import CacheUnavailable

log = structlog.get_logger("cache")

ANSWER_WITHIN_S = 0.25
FAILURES = 2
LEFT_ALONE_S = 5.0
"""After so many failures in a row it is not asked for so long; then one call tries it."""
_NAMESPACE = "gridproof:answers:"


class RedisCurrentCache:
    """Without retries: who asks does better to ask the store than to wait."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=16,
        )
        self._breakers = AsyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=LEFT_ALONE_S)
        self._breakers.add_listener(_log_change)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        async with self._guarded():
            found = await self._redis.mget([_NAMESPACE + key for key in keys])
        return cast("list[bytes | None]", found)

    async def put_many(self, answers: Mapping[str, bytes], *, kept_wall_s: float) -> None:
        if not answers:
            return
        async with self._guarded():
            pipeline = self._redis.pipeline(transaction=False)
            for key, answer in answers.items():
                pipeline.set(_NAMESPACE + key, answer, px=max(1, int(kept_wall_s * 1000)))
            await pipeline.execute()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        breaker = await self._breakers.get_breaker("cache")
        try:
            async with breaker:
                yield
        except OpenedState as error:
            raise CacheUnavailable("the cache failed lately and is left alone for a while") from error
        except (RedisError, OSError, TimeoutError) as error:
            raise CacheUnavailable(f"the cache: {type(error).__name__}: {error}") from error


def _log_change(name: str, kind: str, change: Event) -> None:
    if kind == "state_changed" and isinstance(change, ContextChanged) and change.state != "half-opened":
        log.warning("the cache is left alone" if change.state == "opened" else "the cache answers again")
