"""Locks in memory: one holder per name, on a board that the processes of one system share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from application.ports.coordination.locks import LockLost
from tests.waking import complete_future


@dataclass(eq=False)
class Hold:
    """A lock that a process holds; `timeout` ends its block when the lock is lost."""

    process: object
    timeout: asyncio.Timeout


@dataclass
class LockBoard:
    """The holders and waiters of each lock. A holder notices a loss `notices_after()` wall seconds later."""

    notices_after: Callable[[], float] = lambda: 0.0
    held_by: dict[str, Hold] = field(default_factory=dict)
    waiting: dict[str, list[asyncio.Future[None]]] = field(default_factory=dict)

    def free(self, name: str) -> None:
        del self.held_by[name]
        for future in self.waiting.pop(name, []):
            complete_future(future)

    def free_all(self, process: object | None = None) -> None:
        """Free the locks of a process, or all of them, as when the database loses the connection."""
        now = asyncio.get_running_loop().time()
        for name, hold in list(self.held_by.items()):
            if process is None or hold.process is process:
                self.free(name)
                hold.timeout.reschedule(now + self.notices_after())


class FakeLocks:
    """The locks of one process; without a `board`, of a system of its own."""

    def __init__(self, board: LockBoard | None = None, process: object | None = None) -> None:
        self._board = LockBoard() if board is None else board
        self._process = self if process is None else process

    @asynccontextmanager
    async def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AsyncIterator[None]:
        board, timeout = self._board, asyncio.timeout(None)
        while name in board.held_by:
            if while_waiting is not None:
                while_waiting()
            future = asyncio.get_running_loop().create_future()
            board.waiting.setdefault(name, []).append(future)
            await future
        hold = board.held_by[name] = Hold(self._process, timeout)
        try:
            async with timeout:
                yield
        except TimeoutError as error:
            if timeout.expired():
                raise LockLost(f"the session that held {name!r} is gone") from error
            raise
        finally:
            if board.held_by.get(name) is hold:
                board.free(name)

    async def aclose(self) -> None:
        """Free all locks of the process, as when it dies."""
        self._board.free_all(self._process)
