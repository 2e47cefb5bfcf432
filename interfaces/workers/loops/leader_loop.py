"""Work that one process of the system does at a time: the process that holds the lock."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.command_bus.retry import Stopped
from application.ports.coordination.locks import LockLost, Locks

_log = structlog.get_logger(__name__)


async def run_as_leader(
    locks: Locks, name: str, work: Callable[[], Awaitable[None]], *, stop: asyncio.Event
) -> None:
    """Run `work` under the lock `name` until it returns. When the lock is lost, take it again and start over.

    Once `stop` is set it no longer waits for the lock, which another process may hold for days. It also returns when
    `work` raises Stopped.
    """

    def raise_if_stopped() -> None:
        if stop.is_set():
            raise Stopped

    while not stop.is_set():
        try:
            async with locks.held(name, while_waiting=raise_if_stopped):
                await work()
        except LockLost as lost:
            _log.warning("lock lost, waiting for it again", lock=name, why=str(lost))
        except Stopped:
            return
        else:
            return
