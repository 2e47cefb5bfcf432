"""Reading one current value, so often a caller may: the turn and the value come in one round trip of the cache.

Reads that come while a round trip is under way go out together in the next one. While the cache is away each process
counts turns for itself, so that the limit is loose but there.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from application.ports.shared_cache import CacheUnavailable, SharedCache, Taken, Turn
from application.ports.telemetry.store import CurrentValue
from application.telemetry.cached_reader import Answer
from application.telemetry.current_values import CurrentValues

_log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Round trips under way."""
MOST_TOGETHER = 500
MOST_COUNTED = 100_000
"""Turns that one process counts while the cache is away."""


class CurrentRead(msgspec.Struct, frozen=True):
    """`answer` is None where it is not the caller's turn: it is in `wait_s` wall seconds."""

    wait_s: float
    answer: Answer[CurrentValue] | None


class _Wish(NamedTuple):
    turn: Turn
    taken: asyncio.Future[Taken | None]


class RateLimitedCurrentValues:
    """Of one event loop. Each caller has one read of a facility in `every_s` wall seconds, over all processes."""

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
        self._waiting: list[_Wish] = []
        self._working = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._turn_at: OrderedDict[str, float] = OrderedDict()

    async def read(self, caller: str, facility_id: str) -> CurrentRead:
        """Raises TelemetryStoreUnavailable where the value is known nowhere."""
        turn = Turn(f"{caller}/{facility_id}", self._values.cached_as(facility_id))
        taken = await self._taken(turn)
        if taken.wait_s > 0:
            return CurrentRead(taken.wait_s, None)
        answer = None if taken.answer is None else self._values.fresh(facility_id, taken.answer)
        if answer is None:
            # With a turn the cache said what it has, or that it is away.
            answer = (await self._values.current([facility_id], cache_was_asked=True))[facility_id]
        return CurrentRead(0.0, answer)

    async def _taken(self, turn: Turn) -> Taken:
        if self._cache is None:
            return self._counted_here(turn.caller)
        wish = _Wish(turn, asyncio.get_running_loop().create_future())
        self._waiting.append(wish)
        if self._working < AT_ONCE:
            # Counted here and in its last step: a task is done some time before its callbacks say so.
            self._working += 1
            task = asyncio.create_task(self._work(self._cache))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        return await wish.taken or self._counted_here(turn.caller)

    async def _work(self, cache: SharedCache) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                await self._ask(cache, together)
        finally:
            self._working -= 1

    async def _ask(self, cache: SharedCache, together: list[_Wish]) -> None:
        """Whatever happens, whoever waits is told; None: count here."""
        found: list[Taken] | list[None] = [None] * len(together)
        try:
            found = await cache.take_turns([wish.turn for wish in together], every_wall_s=self._every_s)
        except CacheUnavailable as error:
            _log.debug("turns are counted here", why=str(error))
        finally:
            for wish, taken in zip(together, found, strict=True):
                if not wish.taken.done():  # who asked may have gone away
                    wish.taken.set_result(taken)

    def _counted_here(self, caller: str) -> Taken:
        now = self._monotonic()
        wait_s = self._turn_at.get(caller, now) - now
        if wait_s > 0:
            return Taken(wait_s, None)
        self._turn_at[caller] = now + self._every_s
        self._turn_at.move_to_end(caller)
        if len(self._turn_at) > MOST_COUNTED:
            self._turn_at.popitem(last=False)
        return Taken(0.0, None)
