"""Rate-limited reads of current values: the cache checks the limit and returns the value in one round trip.

Reads that arrive during a round trip share the next one. While the cache is unavailable each process applies
the limit by itself, so the total limit is looser.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

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


class _PendingRead(NamedTuple):
    request: RateLimitedGet
    result: asyncio.Future[RateLimitedResult | None]


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
        self._waiting: list[_PendingRead] = []
        self._working = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._next_allowed_at: OrderedDict[str, float] = OrderedDict()

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
        if self._cache is None:
            return self._count_locally(request.caller)
        pending = _PendingRead(request, asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        if self._working < MAX_ROUND_TRIPS:
            # Counted here and decremented in its last step: a task is done some time before its callbacks
            # run.
            self._working += 1
            task = asyncio.create_task(self._work(self._cache))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        return await pending.result or self._count_locally(request.caller)

    async def _work(self, cache: SharedCache) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
                await self._send_batch(cache, batch)
        finally:
            self._working -= 1

    async def _send_batch(self, cache: SharedCache, batch: list[_PendingRead]) -> None:
        """Send one batch. Every waiting read gets a result in any case; None: apply the limit in this
        process."""
        found: list[RateLimitedResult] | list[None] = [None] * len(batch)
        try:
            found = await cache.get_rate_limited(
                [pending.request for pending in batch], every_wall_s=self._every_s
            )
        except CacheUnavailable as error:
            _log.debug("rate limit applied in this process", why=str(error))
        finally:
            for pending, result in zip(batch, found, strict=True):
                if not pending.result.done():  # the caller may be cancelled
                    pending.result.set_result(result)

    def _count_locally(self, caller: str) -> RateLimitedResult:
        now = self._monotonic()
        wait_s = self._next_allowed_at.get(caller, now) - now
        if wait_s > 0:
            return RateLimitedResult(wait_s, None)
        self._next_allowed_at[caller] = now + self._every_s
        self._next_allowed_at.move_to_end(caller)
        if len(self._next_allowed_at) > MAX_CALLERS:
            self._next_allowed_at.popitem(last=False)
        return RateLimitedResult(0.0, None)
