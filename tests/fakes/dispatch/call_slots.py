"""CallSlots in memory, of one process."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count


class FakeCallSlots:
    """As many slots as a test needs; free ones go to the callers in the order of the port."""

    def __init__(self, number: int = 32) -> None:
        self._free = number
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def held(self, *, urgent: bool = True, continues: bool = False) -> AsyncIterator[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        rank = 2 if not urgent else 0 if continues else 1
        heapq.heappush(self._waiting, (rank, next(self._arrivals), future))
        self._serve()
        try:
            await future
            yield
        finally:
            if future.done() and not future.cancelled():
                self._free += 1
                self._serve()

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _serve(self) -> None:
        while self._free and self._waiting:
            *_, future = heapq.heappop(self._waiting)
            if not future.done():
                self._free -= 1
                future.set_result(None)
