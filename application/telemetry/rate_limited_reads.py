"""Rate-limited reads of current values: the cache checks the limit and returns the value in one round trip.

Reads that arrive during a round trip share the next one. While the cache is unavailable each process applies
the limit by itself, so the total limit is looser.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import cast

import msgspec
import structlog

from application.async_batcher import AsyncBatcher
from application.bounded_cache import BoundedCache
from application.ports.shared_cache import CacheUnavailable, RateLimitedGet, RateLimitedResult, SharedCache
from application.ports.telemetry.store import CurrentValue
from application.telemetry.cached_reader import CachedAnswer
from application.telemetry.current_values import CurrentValues

_log = structlog.get_logger(__name__)

MAX_ROUND_TRIPS = 2
"""Round trips in flight."""
MAX_BATCH_SIZE = 500
MAX_CALLERS = 100_000
"""Callers that one process counts while the cache is unavailable."""


class CurrentRead(msgspec.Struct, frozen=True):
    """The result of a read. `answer` is None where the rate limit refuses it; the next read is allowed in
    `wait_s` wall seconds."""

    wait_s: float
    answer: CachedAnswer[CurrentValue] | None


class RateLimitedCurrentValues:
    """Each caller may read a facility once in `every_s` wall seconds, over all processes. Belongs to one
    event loop."""

    def __init__(
        self,
        values: CurrentValues,
        cache: SharedCache | None,
        *,
        every_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._values = values
        self._cache = cache
        self._every_s = every_s
        self._monotonic = monotonic
        self._batches: AsyncBatcher[RateLimitedGet, RateLimitedResult | None] = AsyncBatcher(
            self._ask_cache, limit=MAX_BATCH_SIZE, at_once=MAX_ROUND_TRIPS
        )
        self._next_allowed_at = BoundedCache[str, float](
            "current value callers", max_size=MAX_CALLERS, ttl_s=every_s, monotonic=monotonic
        )

    async def read(self, caller: str, facility_id: str) -> CurrentRead:
        """Read one value. Raises TelemetryStoreUnavailable where the value is available from no source."""
        request = RateLimitedGet(f"{caller}/{facility_id}", self._values.cache_key(facility_id))
        result = await self._get(request)
        if result.wait_s > 0:
            return CurrentRead(result.wait_s, None)
        answer = None if result.answer is None else self._values.fresh(facility_id, result.answer)
        if answer is None:
            # An allowed request has just read the cache: it has no fresh value, or is unavailable.
            answer = (await self._values.current([facility_id], skip_cache=True))[facility_id]
        return CurrentRead(0.0, answer)

    async def _get(self, request: RateLimitedGet) -> RateLimitedResult:
        result = None if self._cache is None else await self._batches.get(request)
        return result or self._count_locally(request.caller)

    async def _ask_cache(self, requests: Sequence[RateLimitedGet]) -> list[RateLimitedResult] | list[None]:
        """None: apply the limit in this process."""
        try:
            return await cast("SharedCache", self._cache).get_rate_limited(
                requests, every_wall_s=self._every_s
            )
        except CacheUnavailable as error:
            _log.debug("rate limit applied in this process", why=str(error))
            return [None] * len(requests)

    def _count_locally(self, caller: str) -> RateLimitedResult:
        now = self._monotonic()
        next_allowed_at = self._next_allowed_at.get(caller)
        if next_allowed_at is not None and next_allowed_at > now:
            return RateLimitedResult(next_allowed_at - now, None)
        self._next_allowed_at.put(caller, now + self._every_s)
        return RateLimitedResult(0.0, None)
