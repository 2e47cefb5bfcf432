"""Work that waits until what keeps it from being done has passed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from application.command_bus.bus import TooManyConflicts
from application.ports.dispatch.work_queue import WorkQueueUnavailable
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.operations.unavailable import OperationsUnavailable

RETRY_S = 0.25
PASSES = (EventStoreUnavailable, OperationsUnavailable, WorkQueueUnavailable, TooManyConflicts)
"""What is away, and races that were lost: others decided over the same streams, and are done some time."""
TAnswer = TypeVar("TAnswer")
_log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The worker was asked to stop while it waited for a lock or for a dependency."""


async def retry_while_unavailable(
    call: Callable[[], Awaitable[TAnswer]], *, stop: asyncio.Event | None = None
) -> TAnswer:
    """Until what `call` needs answers. Raises Stopped where `stop` was set while it was away.

    Without `stop`, for work that is cancelled by whoever began it.
    """
    while True:
        try:
            return await call()
        except PASSES as error:
            _log.warning("trying again", error=type(error).__name__, why=str(error))
        await asyncio.sleep(RETRY_S)
        if stop is not None and stop.is_set():
            raise Stopped
