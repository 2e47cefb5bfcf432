"""CallSlots in memory, of one process."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

from application.dispatch.time_limits import TIME_LIMITS


class FakeCallSlots:
    """As many slots as a test needs; free ones go to the callers in the order of the port."""

    def __init__(self, number: int = 32, *, check_wait_s: float = TIME_LIMITS.check_wait_s) -> None:
        self._free = number
        self._check_wait_s = check_wait_s
        self._urgent, self._none_urgent = 0, asyncio.Event()
        self._none_urgent.set()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def held(self, *, urgent: bool = True, continues: bool = False) -> AsyncIterator[None]:
        if not urgent and not continues:
            await self._defer()
        self._count_urgent(+urgent)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        rank = 2 if not urgent else 0 if continues else 1
        heapq.heappush(self._waiting, (rank, next(self._arrivals), future))
        self._serve()
        try:
            await future
            yield
        finally:
            self._count_urgent(-urgent)
            if future.done() and not future.cancelled():
                self._free += 1
                self._serve()

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def _defer(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._check_wait_s):
                await self._none_urgent.wait()

    def _count_urgent(self, number: int) -> None:
        self._urgent += number
        if self._urgent:
            self._none_urgent.clear()
        else:
            self._none_urgent.set()

    def _serve(self) -> None:
        while self._free and self._waiting:
            *_, future = heapq.heappop(self._waiting)
            if not future.done():
                self._free -= 1
                future.set_result(None)
