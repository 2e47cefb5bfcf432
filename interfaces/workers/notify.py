"""The notify worker: takes callbacks off the work queue and sends them to the utilities, several of each at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
import structlog

from application.callback import CallbackCalls
from application.command_bus.retry import Pauses, retry_limited, retry_while_unavailable
from application.command_bus.spans import traced
from application.command_bus.trace_context import queued_span_id_of
from application.event_store.event_mapper import UnreadableDomainEvent
from application.ports.dispatch.work_queue import CallbackSource, CallbackWork, WorkItem, WorkQueueUnavailable
from domain.event_sourcing.decoders import json_decoder
from interfaces.workers.loops.lease_renewal import renewing_lease
from interfaces.workers.loops.message_log import logged_message
from interfaces.workers.loops.periodic import PeriodicCheck

AT_ONCE, AT_ONCE_OF_ONE = 128, 4
"""Calls under way, of all utilities and of one. So a utility whose addresses never answer holds a few places only."""
WAIT_S = 1.0
DISCOVER_S = 0.5
"""Pause between two queries for utilities that have callbacks."""
RETRY_S, LONGEST_RETRY_S = 0.5, 5.0
FINISH_WITHIN_S = 2.0
"""How long calls under way may still take once the worker is told to stop. All of these are wall seconds."""
log = structlog.get_logger("notify")


@dataclass
class NotifyWorker:
    """Any number of them may run. In one worker the callbacks of one DR event are sent one after the other.

    Each utility has a task of its own, which takes no more callbacks while as many of it are under way as may be.
    """

    source: CallbackSource
    calls: CallbackCalls
    at_once: int = AT_ONCE
    at_once_of_one: int = AT_ONCE_OF_ONE
    _places: asyncio.Semaphore = field(init=False)
    _locks: WeakValueDictionary[UUID, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _utilities: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.at_once)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`. What is not acknowledged then is delivered again."""
        discover = partial(self._start_tasks, stop)
        try:
            await PeriodicCheck("notify", discover, every_s=DISCOVER_S, retry_s=RETRY_S).run(stop)
        finally:
            await self._end()

    async def _start_tasks(self, stop: asyncio.Event) -> None:
        """Start a task for each utility that has callbacks and no task. Raises the error of a task that failed."""
        for utility_id in await self.source.utilities_with_callbacks():
            task = self._utilities.get(utility_id)
            if task is not None and task.done():
                task.result()
            if task is None or task.done():
                self._utilities[utility_id] = asyncio.create_task(self._serve(utility_id, stop))

    async def _serve(self, utility_id: str, stop: asyncio.Event) -> None:
        under_way: set[asyncio.Task[None]] = set()
        take_next = partial(self._take_next, utility_id, under_way)
        name = f"callbacks of {utility_id}"
        await PeriodicCheck(name, take_next, every_s=0.0, retry_s=RETRY_S).run(stop)

    async def _take_next(self, utility_id: str, under_way: set[asyncio.Task[None]]) -> None:
        """Start a task for the utility's next callback. Raises WorkQueueUnavailable."""
        if len(under_way) >= self.at_once_of_one:
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        elif (item := await self.source.next_callback(utility_id, wait_s=WAIT_S)) is not None:
            task = asyncio.create_task(self._work(item))
            for tasks in (under_way, self._under_way):
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _work(self, item: WorkItem) -> None:
        """Waits while a store is away, under a renewed lease: a delivery given back would count as a try.

        A callback whose DR event this release cannot read is delivered again later, and a worker of the newer release
        sends it. One that fails with any other error is parked after some tries; it must not stop those behind it.
        """
        with logged_message(item.body):
            await self._send_or_park(item)

    async def _send_or_park(self, item: WorkItem) -> None:
        pauses = Pauses(RETRY_S, LONGEST_RETRY_S)
        async with renewing_lease(item.extend_lease, self.source.redelivery_s):
            try:
                await retry_limited(
                    partial(self._carry_out_or_leave, item),
                    final=(UnreadableDomainEvent,),
                    outage_pauses=pauses,
                )
            except UnreadableDomainEvent as error:
                log.warning("its DR event cannot be read; it is delivered again", why=str(error))
                await self.calls.put_off(item)
            except Exception as error:
                log.exception("a callback failed for good")
                await self._park(item, f"{type(error).__name__}: {error}")

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
        async with lock, self._places:
            with traced(
                f"callback {work.kind}",
                work.trace_id,
                parent_id=queued_span_id_of(work.causation_id),
                kind="consumer",
                dr_event=work.dr_event_id,
                delivery=item.deliveries,
            ):
                await self.calls.carry_out(work, item)

    async def _park(self, item: WorkItem, reason: str) -> None:
        """If even that fails, the queue delivers it again after a pause, and others are served meanwhile."""
        try:
            await retry_while_unavailable(partial(self.calls.park_failed, item, reason))
        except Exception:
            log.exception("a failed callback could not be parked; it is delivered again")

    async def _end(self) -> None:
        tasks = {*self._utilities.values(), *self._under_way}
        if tasks:
            await asyncio.wait(tasks, timeout=FINISH_WITHIN_S)
        tasks |= self._under_way  # a task of a utility may have taken one more meanwhile
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
