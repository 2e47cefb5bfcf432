"""Locks in memory. Those that share a `held_by` stand for processes of one system."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from application.ports.locks import LockLost

POLL_S = 0.001


class FakeLocks:
    def __init__(self, held_by: dict[str, object] | None = None) -> None:
        self._held_by = {} if held_by is None else held_by
        self._grips: dict[str, asyncio.Timeout] = {}

    @asynccontextmanager
    async def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AsyncIterator[None]:
        while name in self._held_by:
            if while_waiting is not None:
                while_waiting()
            await asyncio.sleep(POLL_S)
        self._held_by[name] = self
        grip = asyncio.timeout(None)
        try:
            async with grip:
                self._grips[name] = grip
                yield
        except TimeoutError as error:
            if grip.expired():
                raise LockLost(name) from error
            raise
        finally:
            if self._grips.pop(name, None) is not None:
                self._held_by.pop(name, None)

    async def aclose(self) -> None:
        """As when its process dies or loses its connection: it holds nothing any more."""
        for name, grip in self._grips.items():
            self._held_by.pop(name, None)
            grip.reschedule(asyncio.get_running_loop().time())
        self._grips.clear()
