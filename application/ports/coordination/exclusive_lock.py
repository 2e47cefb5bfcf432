"""The exclusive lock port: work that only one process of the system may do at a time."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class ExclusiveLock(Protocol):
    """A lock. Its name is given to the adapter."""

    def held(self) -> AbstractAsyncContextManager[asyncio.Event]:
        """Wait for the lock and hold it inside the block. The event is set when the lock is lost to another
        process."""
        ...
