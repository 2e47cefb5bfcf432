"""Call slots of one process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class LocalCallSlots:
    """First come, first served, whoever asks; other processes are not counted."""

    def __init__(self, number: int) -> None:
        self._limiter = anyio.CapacityLimiter(number)

    @asynccontextmanager
    async def held(self, *, urgent: bool = True, goes_on: bool = False) -> AsyncIterator[None]:
        async with self._limiter:
            yield

    async def aclose(self) -> None:
        """Nothing outlives the process."""
