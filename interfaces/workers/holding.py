"""Work that one process of the system does at a time."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.ports.locks import LockLost, Locks

_log = structlog.get_logger(__name__)


async def while_held(
    locks: Locks, name: str, work: Callable[[], Awaitable[None]], *, stop: asyncio.Event
) -> None:
    """Do `work` under the lock `name` until it returns; where the lock is lost, take it again and begin anew."""
    while not stop.is_set():
        try:
            async with locks.held(name):
                await work()
        except LockLost as lost:
            _log.warning("stopped, and waiting for the lock again", lock=name, why=str(lost))
        else:
            return
