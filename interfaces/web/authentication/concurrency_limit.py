"""Limits for the number of calls that run at the same time: of all callers together, and of each tenant.

Judging a notification is work for the interpreter, and only one thread at a time has it. During a burst in as many
threads as possible the event loop, which answers repeats, would run once in so many turns. With a few threads it runs
often, and all notifications are judged just as soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from interfaces.web.problems import Problem, try_again

CONCURRENT_CALLS = 8
"""Enough that some compute while others wait for PostgreSQL and share its round trips and commits."""
WAIT_TIMEOUT_S = 10.0
"""Wall seconds; a call takes hundredths of one, unless PostgreSQL hangs."""
BUSY_RETRY_AFTER_S = 5.0
SHARE = 6
"""Of these calls one utility has at most so many: two are left for the others, however much it sends."""
MAX_WAITING = 100
"""Calls of one tenant, with the one that runs."""
TArguments = ParamSpec("TArguments")
TResult = TypeVar("TResult")


class ConcurrencyLimit:
    """First come, first served. For one event loop."""

    def __init__(self, at_once: int = CONCURRENT_CALLS, *, within_s: float = WAIT_TIMEOUT_S) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._within_s = within_s

    async def run(
        self, call: Callable[TArguments, TResult], *args: TArguments.args, **kwargs: TArguments.kwargs
    ) -> TResult:
        """The result of `call`, which runs in a thread. Raises what it raised.

        A cancelled caller keeps its slot until the thread ends, since a thread cannot be stopped. Raises the problem
        `unavailable` if no slot is free in time.
        """
        await _acquire(self._slots, self._within_s)
        running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
        running.add_done_callback(lambda _: self._slots.release())
        return await asyncio.shield(running)


class TenantTurns:
    """One call at a time for each tenant, so that one tenant's calls delay its own only. For one event loop.

    `at_once` bounds the calls of all tenants together.
    """

    def __init__(self, at_once: int = CONCURRENT_CALLS, *, within_s: float = WAIT_TIMEOUT_S) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._turns: dict[str, _Turn] = {}
        self._within_s = within_s

    async def run(self, tenant: str, call: Callable[[], Awaitable[TResult]]) -> TResult:
        """The result of `call`. Raises what it raised.

        A cancelled caller keeps its turn until the call ends, since a thread cannot be stopped. Raises the problem
        `unavailable` if the tenant's turn does not come in time, or too many of its calls wait.
        """
        turn = self._turns.setdefault(tenant, _Turn())
        if turn.callers >= MAX_WAITING:
            raise _too_slow()
        turn.callers += 1
        try:
            async with asyncio.timeout(self._within_s):
                await turn.lock.acquire()
                try:
                    await self._slots.acquire()
                except BaseException:
                    turn.lock.release()
                    raise
        except BaseException as error:
            self._leave(tenant, turn)
            if isinstance(error, TimeoutError):
                raise _too_slow() from None
            raise
        running = asyncio.ensure_future(call())
        running.add_done_callback(lambda _: self._end(tenant, turn))
        return await asyncio.shield(running)

    def _end(self, tenant: str, turn: _Turn) -> None:
        self._slots.release()
        turn.lock.release()
        self._leave(tenant, turn)

    def _leave(self, tenant: str, turn: _Turn) -> None:
        turn.callers -= 1
        if not turn.callers:
            del self._turns[tenant]


class _Turn:
    """The turn of one tenant, while it has callers."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.callers = 0


def _too_slow() -> Problem:
    return try_again(
        "unavailable", "the store answers too slowly; try again", retry_after_s=BUSY_RETRY_AFTER_S
    )


class TenantConcurrencyLimit:
    """A ConcurrencyLimit of which each utility has a share. Only authenticated utilities have one, so they are few."""

    def __init__(
        self, at_once: int = CONCURRENT_CALLS, share: int = SHARE, *, within_s: float = WAIT_TIMEOUT_S
    ) -> None:
        self._limit = ConcurrencyLimit(at_once, within_s=within_s)
        self._share = share
        self._within_s = within_s
        self._shares: dict[str, asyncio.Semaphore] = {}

    async def run(
        self,
        utility_id: str,
        call: Callable[TArguments, TResult],
        *args: TArguments.args,
        **kwargs: TArguments.kwargs,
    ) -> TResult:
        """As `ConcurrencyLimit.run`. A caller that disconnects keeps its part of the share until its call ends."""
        share = self._shares.setdefault(utility_id, asyncio.Semaphore(self._share))
        await _acquire(share, self._within_s)
        running = asyncio.ensure_future(self._limit.run(call, *args, **kwargs))
        running.add_done_callback(lambda _: share.release())
        return await asyncio.shield(running)


async def _acquire(slots: asyncio.Semaphore, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await slots.acquire()
    except TimeoutError:
        raise _too_slow() from None
