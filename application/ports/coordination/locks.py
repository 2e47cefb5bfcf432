"""Locks between processes. A lock has at most one holder, and a dead process holds none."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class LockLost(Exception):
    """The connection that held the lock is gone, so another process may hold it now. The work under it was
    stopped."""


class Locks(Protocol):
    """Named locks, held as long as the process lives and is connected."""

    def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Wait for the lock and hold it inside the block. `while_waiting` is called at each try.

        When the lock is lost, the block is cancelled within seconds and LockLost is raised instead.
        """
        ...
