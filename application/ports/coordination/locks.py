"""Locks between processes: whoever holds one is the only one, and a dead process holds none."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class LockLost(Exception):
    """What held the lock is gone: somebody else may hold it now. What was done under it was stopped."""


class Locks(Protocol):
    """Named locks, held as long as the process lives and is connected."""

    def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Wait for the lock, hold it inside the block. `while_waiting` is called at each try.

        The block is cancelled within seconds after the lock was lost, and LockLost is raised in its place.
        """
        ...
