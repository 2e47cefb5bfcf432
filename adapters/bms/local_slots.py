"""Call slots of one process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class LocalCallSlots:
    """First come, first served, urgent or not; other processes are not counted."""

    def __init__(self, number: int) -> None:
        self._limiter = anyio.CapacityLimiter(number)

    @asynccontextmanager
    async def held(self, *, urgent: bool = True) -> AsyncIterator[None]:
        async with self._limiter:
            yield

    async def aclose(self) -> None:
        """Nothing outlives the process."""
