"""The notify worker: takes callbacks off the work queue and sends them to the utilities, several at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
import structlog

from application.callback import CallbackCalls
from application.command_bus.retry import Pauses, retry_while_unavailable
from application.ports.dispatch.work_queue import CallbackWork, WorkItem, WorkQueueUnavailable, WorkSource
from domain.event_sourcing.json_decoders import json_decoder
from interfaces.workers.loops.lease_renewal import renewing_lease
from interfaces.workers.loops.periodic import run_periodically

AT_ONCE = 32
WAIT_S = 1.0
RETRY_S, LONGEST_RETRY_S = 0.5, 5.0
FINISH_WITHIN_S = 2.0
"""How long calls under way may still take once the worker is told to stop. All of these are wall seconds."""
log = structlog.get_logger("notify")


@dataclass
class NotifyWorker:
    """Any number of them may run. In one worker the callbacks of one DR event are sent one after the other."""

    source: WorkSource
    calls: CallbackCalls
    at_once: int = AT_ONCE
    _locks: WeakValueDictionary[UUID, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`. An unexpected error ends the worker; its messages are delivered again."""
        try:
            await run_periodically(self._take_next, name="notify", every_s=0.0, retry_s=RETRY_S, stop=stop)
        finally:
            await self._end()

    async def _take_next(self) -> None:
        """Start a task for the next callback. Raises WorkQueueUnavailable, and the error of a task that failed."""
        self._raise_failures()
        if len(self._tasks) >= self.at_once:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        elif (item := await self.source.next_callback(wait_s=WAIT_S)) is not None:
            self._tasks.add(asyncio.create_task(self._work(item)))

    async def _work(self, item: WorkItem) -> None:
        """Waits while a store is away, under a renewed lease: a delivery given back would count as a try."""
        pauses = Pauses(RETRY_S, LONGEST_RETRY_S)
        async with renewing_lease(item, self.source.redelivery_s):
            await retry_while_unavailable(partial(self._carry_out_or_leave, item), pauses=pauses)

    async def _carry_out_or_leave(self, item: WorkItem) -> None:
        """A work queue that is away has the callback delivered again: it is not retried here."""
        try:
            await self._carry_out(item)
        except WorkQueueUnavailable as error:
            log.warning("not acknowledged; it is delivered again", why=str(error))

    async def _carry_out(self, item: WorkItem) -> None:
        try:
            work = json_decoder(CallbackWork).decode(item.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            await self.calls.park_poison(item, "unknown", f"not a callback: {error}")
            return
        lock = self._locks.setdefault(work.dr_event_id, asyncio.Lock())
        async with lock:
            await self.calls.carry_out(work, item)

    def _raise_failures(self) -> None:
        ended = {task for task in self._tasks if task.done()}
        self._tasks -= ended
        for task in ended:
            task.result()

    async def _end(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=FINISH_WITHIN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
