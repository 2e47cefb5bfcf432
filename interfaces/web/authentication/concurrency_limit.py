"""How many posts are judged at the same moment.

Judging is work for the interpreter, and one thread at a time has that. With a burst in as many threads as there are,
the event loop, which answers the repeats, gets one turn in so many; with a few, all are judged just as soon.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from interfaces.web.problems import try_again

JUDGED_AT_ONCE = 8
"""Enough that some compute while others wait for PostgreSQL, and share its round trips and commits."""
TURN_WITHIN_S = 10.0
"""Wall seconds; a turn takes hundredths of one, unless PostgreSQL hangs."""
BUSY_RETRY_AFTER_S = 5.0
TArguments = ParamSpec("TArguments")
TAnswer = TypeVar("TAnswer")


class ConcurrencyLimit:
    """In the order of asking. Used on one event loop."""

    def __init__(self, at_once: int = JUDGED_AT_ONCE, *, within_s: float = TURN_WITHIN_S) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._within_s = within_s

    async def judged(
        self, judge: Callable[TArguments, TAnswer], *args: TArguments.args, **kwargs: TArguments.kwargs
    ) -> TAnswer:
        """What `judge` returns or raises, in a thread. The turn is given back when that thread has ended.

        Whoever asked may go away before: a thread cannot be stopped, so its turn is not over.
        Raises the problem `unavailable` where none comes in time.
        """
        try:
            async with asyncio.timeout(self._within_s):
                await self._turns.acquire()
        except TimeoutError:
            raise try_again(
                "unavailable", "the store answers too slowly; try again", retry_after_s=BUSY_RETRY_AFTER_S
            ) from None
        judging = asyncio.ensure_future(asyncio.to_thread(judge, *args, **kwargs))
        judging.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(judging)
