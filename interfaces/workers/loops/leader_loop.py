"""Work that one process of the system does at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from application.command_bus.retry import Stopped
from application.ports.coordination.locks import LockLost, Locks

_log = structlog.get_logger(__name__)


async def run_as_leader(
    locks: Locks, name: str, work: Callable[[], Awaitable[None]], *, stop: asyncio.Event
) -> None:
    """Do `work` under the lock `name` until it returns; where the lock is lost, take it again and begin anew.

    Whoever still waits for it once `stop` is set gives up: another process may hold it for days. So does work that
    raises Stopped.
    """

    def give_up_if_stopped() -> None:
        if stop.is_set():
            raise Stopped

    while not stop.is_set():
        try:
            async with locks.held(name, while_waiting=give_up_if_stopped):
                await work()
        except LockLost as lost:
            _log.warning("stopped, and waiting for the lock again", lock=name, why=str(lost))
        except Stopped:
            return
        else:
            return


async def sleep_or_stop(stop: asyncio.Event, seconds: float) -> None:
    """So many wall seconds, or until `stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
