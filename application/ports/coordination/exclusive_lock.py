"""The exclusive turn: work that only one process of the system may do at a time."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class ExclusiveLock(Protocol):
    """One turn, known by a name that was given to the adapter."""

    def held(self) -> AbstractAsyncContextManager[asyncio.Event]:
        """Wait for the turn and keep it for the block. The event is set when somebody else has it."""
        ...
