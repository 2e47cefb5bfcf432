"""The notify worker: takes callbacks off the work queue and tells the utilities, several at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
import structlog

from application.callback import CallbackCalls
from application.command_bus.bus import TooManyConflicts
from application.ports.dispatch.work_queue import CallbackWork, WorkItem, WorkQueueUnavailable, WorkSource
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.operations.unavailable import OperationsUnavailable
from domain.event_sourcing.json_decoders import json_decoder
from interfaces.workers.loops.lease_renewal import kept

AT_ONCE = 32
WAIT_S = 1.0
RETRY_S, LONGEST_RETRY_S = 0.5, 5.0
LAST_WORDS_S = 2.0
"""How long a call in hand may still take when the worker is to stop; wall seconds, as all of these."""
log = structlog.get_logger("notify")


@dataclass
class NotifyWorker:
    """Any number of them may run. Callbacks of one DR event are told one after the other."""

    source: WorkSource
    calls: CallbackCalls
    at_once: int = AT_ONCE
    _turns: WeakValueDictionary[UUID, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. An error that nobody foresaw ends the worker; its messages come again."""
        try:
            while not stop.is_set():
                self._raise_failures()
                if len(self._tasks) >= self.at_once:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                elif (item := await self._next()) is not None:
                    self._tasks.add(asyncio.create_task(self._work(item)))
        finally:
            await self._end()

    async def _next(self) -> WorkItem | None:
        try:
            return await self.source.next_callback(wait_s=WAIT_S)
        except WorkQueueUnavailable as error:
            log.warning("work queue unavailable; trying again", why=str(error))
            await asyncio.sleep(RETRY_S)
            return None

    async def _work(self, item: WorkItem) -> None:
        """A store that is away is waited for: given back, the delivery would count as a try."""
        pause_s = RETRY_S
        async with kept(item, self.source.redelivery_s):
            while True:
                try:
                    await self._carry_out(item)
                except (EventStoreUnavailable, OperationsUnavailable, TooManyConflicts) as error:
                    log.warning("trying again", error=type(error).__name__, why=str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_RETRY_S)
                except WorkQueueUnavailable as error:
                    log.warning("not acknowledged; it comes again", why=str(error))
                    return
                else:
                    return

    async def _carry_out(self, item: WorkItem) -> None:
        try:
            work = json_decoder(CallbackWork).decode(item.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            await self.calls.park_poison(item, "unknown", f"not a callback: {error}")
            return
        turn = self._turns.setdefault(work.dr_event_id, asyncio.Lock())
        async with turn:
            await self.calls.carry_out(work, item)

    def _raise_failures(self) -> None:
        ended = {task for task in self._tasks if task.done()}
        self._tasks -= ended
        for task in ended:
            task.result()

    async def _end(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
