"""DispatchWorker: the only process that calls a BMS. It runs one task and takes one lock per facility."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec
import structlog

from application.command_bus.retry import MAX_TRIES, TRANSIENT
from application.dispatch.execution.executor import DispatchExecutor
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnreadableDomainEvent
from application.ports.coordination.locks import LockLost, Locks
from application.ports.dispatch.call_slots import CallSlots
from application.ports.dispatch.work_queue import BmsWork, WorkItem, WorkSource
from application.ports.event_store.event_store import StreamNotFound
from domain.errors import DomainError, NotAllowedNow
from domain.event_sourcing.json_decoders import json_decoder
from interfaces.workers.loops.lease_renewal import renewing_lease
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.queries.views import ReadModelsUnavailable

WAIT_S = 30.0
GIVE_BACK_FROM = 16
"""Pieces of work under way, without checks that commands defer. From that number on the worker gives every other new
delivery back, once. The queue hands it to whichever worker has waited longest for that facility, so that one worker
does not get the work of all facilities that start together (ADR 0092 has the figures)."""
GIVE_BACK_PAUSE_S = 0.02
"""Before a worker that gave work back asks for that facility's work again: enough for another worker to get it."""
REFRESH_S = 2.0
REDELIVERED: tuple[type[Exception], ...] = (*TRANSIENT, LockLost, NotAllowedNow, UnreadableDomainEvent)
"""The delivery is not acknowledged after these errors, and the next one may succeed: a server is away, a race was lost,
somebody else has recorded an outcome meanwhile, or a newer release has written to the stream and its workers can read
it."""
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""The message is not a BmsWork: it may be thousands of brackets."""
FINAL = (StreamNotFound, DomainError, ValueError)
"""The work can never be carried out: it names something that is not on record."""
log = structlog.get_logger("dispatch")


@dataclass
class DispatchWorker:
    """Any number may run: the queue gives each facility's work to one of them, and the lock guarantees it."""

    source: WorkSource
    calls: DispatchExecutor
    slots: CallSlots
    locks: Locks
    facilities: Callable[[], list[str]]
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _under_way: int = 0
    _gave_back: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await PeriodicCheck("dispatch", partial(self._start_tasks, stop), every_s=REFRESH_S).run(stop)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _start_tasks(self, stop: asyncio.Event) -> None:
        """Start a task for every facility that has none. Raises the error of a task that failed."""
        for facility_id in await self._facility_ids():
            task = self._tasks.get(facility_id)
            if task is None or task.done():
                _raise_failure(task)
                self._tasks[facility_id] = asyncio.create_task(self._serve(facility_id, stop))

    async def _facility_ids(self) -> list[str]:
        try:
            return await asyncio.to_thread(self.facilities)
        except ReadModelsUnavailable as error:
            log.warning("read models unavailable; the facilities served stay the same", why=str(error))
            return list(self._tasks)

    async def _serve(self, facility_id: str, stop: asyncio.Event) -> None:
        """After one of REDELIVERED the work is delivered again, and its BMS is asked for the outcome."""
        await PeriodicCheck(
            f"dispatch to {facility_id}",
            partial(self._serve_next, facility_id),
            every_s=0.0,
            retry_s=TIME_LIMITS.retry_wall_s,
            also=REDELIVERED,
        ).run(stop)

    async def _serve_next(self, facility_id: str) -> None:
        item = await self.source.next_bms(facility_id, wait_s=WAIT_S)
        if item is not None and not await self._given_back(item):
            await self._work(facility_id, item)

    async def _given_back(self, item: WorkItem) -> bool:
        if self._under_way - self.slots.deferred < GIVE_BACK_FROM or item.deliveries > 1:
            return False
        give_back = self._gave_back = not self._gave_back
        if give_back:
            await item.redeliver_after(0.0)
            await asyncio.sleep(GIVE_BACK_PAUSE_S)
        return give_back

    async def _work(self, facility_id: str, item: WorkItem) -> None:
        self._under_way += 1
        try:
            await self._carry_out(facility_id, item)
        finally:
            self._under_way -= 1

    async def _carry_out(self, facility_id: str, item: WorkItem) -> None:
        async with (
            renewing_lease(item.extend_lease, self.source.redelivery_s),
            self.locks.held(f"bms:{facility_id}"),
        ):
            try:
                work = json_decoder(BmsWork).decode(item.body)
            except UNREADABLE as error:
                log.exception("parked: it is not BMS work", facility=facility_id)
                await self.calls.park_poison(facility_id, item.body, f"{type(error).__name__}: {error}")
            else:
                if not await self._finished(work, item):
                    return
        await item.done()

    async def _finished(self, work: BmsWork, item: WorkItem) -> bool:
        """Do the work or park it. False if it was returned for a later delivery."""
        try:
            await self.calls.do(work)
        except REDELIVERED:
            raise
        except Exception as error:
            log.exception("work failed", facility=work.facility_id, tries=item.deliveries)
            if item.deliveries < MAX_TRIES and not isinstance(error, FINAL):
                # Its BMS is asked first whether it knows the command, so nothing is done twice.
                await item.redeliver_after(TIME_LIMITS.retry_wall_s)
                return False
            await self.calls.park(work, f"{type(error).__name__}: {error}")
        return True


def _raise_failure(task: asyncio.Task[None] | None) -> None:
    """A task that failed ends the worker; its supervisor starts a new one."""
    if task is not None and not task.cancelled() and (error := task.exception()) is not None:
        raise error
