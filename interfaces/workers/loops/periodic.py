"""PeriodicCheck: work that a worker repeats until it is told to stop. A server that is away only delays it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from application.command_bus.retry import TRANSIENT, sleep_or_stop
from application.ports.coordination.locks import Locks
from interfaces.workers.loops.leader_loop import run_as_leader
from projections.queries.views import ReadModelsUnavailable

PUT_OFF: tuple[type[Exception], ...] = (*TRANSIENT, ReadModelsUnavailable)
"""Errors of a round that the next round can overcome. The read models belong to the projections, which application
code does not import: that is why they are added here and not in `application.ports.unavailable`."""
_log = structlog.get_logger(__name__)


def _nothing() -> None:
    return


@dataclass(frozen=True)
class PeriodicCheck:
    """A monitor's check, or other work in rounds. With `lock` only the process of the system that holds it does it."""

    name: str
    """In the log."""
    check: Callable[[], Awaitable[float | None]]
    """One round. It may return another pause than `every_s` after this round."""
    every_s: float
    """The pause after a round, wall seconds."""
    retry_s: float | None = None
    """The pause after one of PUT_OFF or `also`; None: `every_s`. Every other error is raised."""
    also: tuple[type[Exception], ...] = ()
    lock: str | None = None
    reset: Callable[[], object] = _nothing
    """Called before the first round, and each time that the lock is taken again: another process worked meanwhile."""

    async def run(self, stop: asyncio.Event, locks: Locks | None = None) -> None:
        """Run until `stop`; with `lock`, under that one of `locks`."""
        if self.lock is None:
            await self._rounds(stop)
        elif locks is None:
            raise ValueError(f"{self.name} runs under the lock {self.lock!r}: it needs locks")
        else:
            await run_as_leader(locks, self.lock, lambda: self._rounds(stop), stop=stop)

    async def _rounds(self, stop: asyncio.Event) -> None:
        self.reset()
        while not stop.is_set():
            pause_s = await self._round()
            if pause_s > 0.0:
                await sleep_or_stop(stop, pause_s)
            else:
                await asyncio.sleep(0.0)

    async def _round(self) -> float:
        """The pause after it."""
        try:
            pause_s = await self.check()
        except (*PUT_OFF, *self.also) as error:
            _log.warning("put off", work=self.name, error=type(error).__name__, why=str(error))
            return self.every_s if self.retry_s is None else self.retry_s
        return self.every_s if pause_s is None else pause_s
