"""Commands go before checks: what a building is to do cannot wait, what it says about it afterwards can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Precedence:
    """Of one process. When hundreds of buildings start together, asking the first what they did would take the
    processor from commanding the last."""

    def __init__(self) -> None:
        self._commands = 0
        self.waiting = 0
        """Checks that give way now."""
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def command(self) -> Iterator[None]:
        """While a command is being carried out."""
        self._commands += 1
        self._free.clear()
        try:
            yield
        finally:
            self._commands -= 1
            if not self._commands:
                self._free.set()

    async def yield_to_commands(self, at_most_s: float) -> None:
        """Until no command is being carried out, but no longer than so many wall seconds: one may hang."""
        self.waiting += 1
        try:
            async with asyncio.timeout(at_most_s):
                await self._free.wait()
        except TimeoutError:
            return
        finally:
            self.waiting -= 1
