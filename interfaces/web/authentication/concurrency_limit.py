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
"""Calls of one tenant, with those that run."""
TArguments = ParamSpec("TArguments")
TResult = TypeVar("TResult")


class ConcurrencyLimit:
    """First come, first served. For one event loop."""

    def __init__(self, at_once: int, *, within_s: float = WAIT_TIMEOUT_S) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._within_s = within_s

    async def run(
        self, call: Callable[TArguments, TResult], *args: TArguments.args, **kwargs: TArguments.kwargs
    ) -> TResult:
        """The result of `call`, which runs in a thread. Raises what it raised.

        A cancelled caller keeps its slot until the thread ends, since a thread cannot be stopped. Raises the problem
        `unavailable` if no slot is free in time.
        """
        try:
            async with asyncio.timeout(self._within_s):
                await self._slots.acquire()
        except TimeoutError:
            raise _too_slow() from None
        running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
        running.add_done_callback(lambda _: self._slots.release())
        return await asyncio.shield(running)


class TenantConcurrencyLimit:
    """A limit by which one tenant has, of `at_once` calls, its `share`, so that its calls delay its own only. For one
    event loop."""

    def __init__(
        self,
        at_once: int = CONCURRENT_CALLS,
        share: int = SHARE,
        *,
        most_waiting: int = MAX_WAITING,
        within_s: float = WAIT_TIMEOUT_S,
    ) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._share = share
        self._most_waiting = most_waiting
        self._within_s = within_s
        self._shares: dict[str, _Share] = {}

    async def run(self, tenant: str, call: Callable[[], Awaitable[TResult]]) -> TResult:
        """The result of `call`. Raises what it raised.

        A cancelled caller keeps its part of the share until the call ends, since a thread cannot be stopped. Raises
        the problem `unavailable` if no part is free in time, or too many calls of the tenant wait.
        """
        share = self._shares.setdefault(tenant, _Share(self._share))
        if share.callers >= self._most_waiting:
            raise _too_slow()
        share.callers += 1
        try:
            async with asyncio.timeout(self._within_s):
                await share.slots.acquire()
                try:
                    await self._slots.acquire()
                except BaseException:
                    share.slots.release()
                    raise
        except BaseException as error:
            self._leave(tenant, share)
            if isinstance(error, TimeoutError):
                raise _too_slow() from None
            raise
        running = asyncio.ensure_future(call())
        running.add_done_callback(lambda _: self._end(tenant, share))
        return await asyncio.shield(running)

    def _end(self, tenant: str, share: _Share) -> None:
        self._slots.release()
        share.slots.release()
        self._leave(tenant, share)

    def _leave(self, tenant: str, share: _Share) -> None:
        share.callers -= 1
        if not share.callers:
            del self._shares[tenant]


class _Share:
    """The share of one tenant, while it has callers."""

    def __init__(self, at_once: int) -> None:
        self.slots = asyncio.Semaphore(at_once)
        self.callers = 0


def _too_slow() -> Problem:
    return try_again(
        "unavailable", "the store answers too slowly; try again", retry_after_s=BUSY_RETRY_AFTER_S
    )
