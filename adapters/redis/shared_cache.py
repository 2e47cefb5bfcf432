"""Remembered answers in Redis or Valkey, behind a breaker: one that is away or hangs is not asked for a while."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import structlog
from purgatory import AsyncCircuitBreakerFactory, ContextChanged, Event
from purgatory.domain.model import OpenedState
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from application.ports.shared_cache import CacheUnavailable, Taken, Turn

log = structlog.get_logger("cache")

ANSWER_WITHIN_S = 0.25
FAILURES = 2
LEFT_ALONE_S = 5.0
"""After so many failures in a row it is not asked for so long; then one call tries it."""
_NAMESPACE = "gridproof:answers:"
_TURNS = "gridproof:turns:"
# One reply for all: the client would read every element of an array by itself. Of each turn: how long to wait (ms), the
# length of the answer or -1, the answer.
_TAKE_TURNS = """
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
_TAKEN = struct.Struct(">ii")


class RedisSharedCache:
    """Without retries: who asks does better to ask the store than to wait."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=16,
        )
        self._take_turns = self._redis.register_script(_TAKE_TURNS)
        self._breakers = AsyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=LEFT_ALONE_S)
        self._breakers.add_listener(_log_change)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        async with self._guarded():
            found = await self._redis.mget([_NAMESPACE + key for key in keys])
        return cast("list[bytes | None]", found)

    async def take_turns(self, turns: Sequence[Turn], *, every_wall_s: float) -> list[Taken]:
        if not turns:
            return []
        keys = [name for turn in turns for name in (_TURNS + turn.caller, _NAMESPACE + turn.key)]
        async with self._guarded():
            packed = await self._take_turns(keys=keys, args=[max(1, int(every_wall_s * 1000))])
        return list(_unpacked(cast("bytes", packed)))

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


def _unpacked(packed: bytes) -> Iterator[Taken]:
    place = 0
    while place < len(packed):
        wait_ms, length = _TAKEN.unpack_from(packed, place)
        place += _TAKEN.size
        end = place + max(0, length)
        yield Taken(wait_ms / 1000, packed[place:end] if length >= 0 else None)
        place = end


def _log_change(name: str, kind: str, change: Event) -> None:
    if kind == "state_changed" and isinstance(change, ContextChanged) and change.state != "half-opened":
        log.warning("the cache is left alone" if change.state == "opened" else "the cache answers again")
