"""A limit for the number of calls that run in threads at the same time.

Judging a notification is work for the interpreter, and only one thread at a time has it. During a burst in as many
threads as possible the event loop, which answers repeats, would run once in so many turns. With a few threads it runs
often, and all notifications are judged just as soon.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from interfaces.web.problems import try_again

CONCURRENT_CALLS = 8
"""Enough that some compute while others wait for PostgreSQL and share its round trips and commits."""
WAIT_TIMEOUT_S = 10.0
"""Wall seconds; a call takes hundredths of one, unless PostgreSQL hangs."""
BUSY_RETRY_AFTER_S = 5.0
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
        try:
            async with asyncio.timeout(self._within_s):
                await self._slots.acquire()
        except TimeoutError:
            raise try_again(
                "unavailable", "the store answers too slowly; try again", retry_after_s=BUSY_RETRY_AFTER_S
            ) from None
        running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
        running.add_done_callback(lambda _: self._slots.release())
        return await asyncio.shield(running)
