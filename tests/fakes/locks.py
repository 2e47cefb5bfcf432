"""Locks in memory. Those that share a `held_by` stand for processes of one system."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

POLL_S = 0.001


class FakeLocks:
    def __init__(self, held_by: dict[str, object] | None = None) -> None:
        self._held_by = {} if held_by is None else held_by

    @asynccontextmanager
    async def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AsyncIterator[None]:
        while name in self._held_by:
            if while_waiting is not None:
                while_waiting()
            await asyncio.sleep(POLL_S)
        self._held_by[name] = self
        try:
            yield
        finally:
            if self._held_by.get(name) is self:
                del self._held_by[name]

    async def aclose(self) -> None:
        """As when its process dies: it holds nothing any more."""
        for name in [name for name, holder in self._held_by.items() if holder is self]:
            del self._held_by[name]
