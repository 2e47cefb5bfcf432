"""The dispatch worker: the only process that calls a BMS. One task, and one lock, per facility."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from application.command_bus.bus import TooManyConflicts
from application.dispatch.execution.executor import DispatchExecutor
from application.event_store.event_mapper import UnreadableDomainEvent
from application.ports.coordination.locks import LockLost, Locks
from application.ports.dispatch.work_queue import BmsWork, WorkItem, WorkQueueUnavailable, WorkSource
from application.ports.event_store.event_store import EventStoreUnavailable, StreamNotFound
from application.ports.operations.unavailable import OperationsUnavailable
from domain.errors import DomainError, NotAllowedNow
from domain.event_sourcing.json_decoders import json_decoder
from interfaces.workers.loops.leader_loop import sleep_or_stop
from interfaces.workers.loops.lease_renewal import kept
from projections.queries.views import ReadModelsUnavailable

WAIT_S = 30.0
ENOUGH = 16
"""Pieces of work, without checks that wait for commands. A worker with so many under way gives every other one back,
once: the queue hands it to whoever has waited for that facility's work longest, and that may be one worker for all
facilities that start together."""
ASIDE_S = 0.02
"""Until one that gave work back asks for that facility's again: enough for another to have it."""
RETRY_S = 0.5
REFRESH_S = 2.0
COMES_AGAIN = (
    WorkQueueUnavailable,
    EventStoreUnavailable,
    OperationsUnavailable,
    LockLost,
    TooManyConflicts,
    NotAllowedNow,
    UnreadableDomainEvent,
)
"""What may be otherwise at the next delivery; besides what is unavailable: lost races, an outcome that somebody else
recorded meanwhile, and a stream that a newer release has written to, whose workers can do it."""
POISON = (msgspec.DecodeError, RecursionError, StreamNotFound, DomainError, ValueError)
"""What comes of a message that can never be carried out: no work of ours (be it thousands of brackets), or of
something that is not on record."""
log = structlog.get_logger("dispatch")


@dataclass
class DispatchWorker:
    """Any number of them may run: the queue gives each facility's work to one, the lock makes sure of it."""

    source: WorkSource
    calls: DispatchExecutor
    locks: Locks
    facilities: Callable[[], list[str]]
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _under_way: int = 0
    _gave_back: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                for facility_id in await self._known_facilities():
                    task = self._tasks.get(facility_id)
                    if task is None or task.done():
                        _raise_failure(task)
                        self._tasks[facility_id] = asyncio.create_task(self._serve(facility_id, stop))
                await sleep_or_stop(stop, REFRESH_S)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _known_facilities(self) -> list[str]:
        try:
            return await asyncio.to_thread(self.facilities)
        except ReadModelsUnavailable as error:
            log.warning("read models unavailable; going on with the facilities known", why=str(error))
            return list(self._tasks)

    async def _serve(self, facility_id: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                item = await self.source.next_bms(facility_id, wait_s=WAIT_S)
                if item is not None and not await self._given_back(item):
                    await self._work(facility_id, item)
            except COMES_AGAIN as error:
                # Not acknowledged: the work comes again, and the BMS is asked what became of it.
                log.warning("not concluded; it comes again", facility=facility_id, why=str(error))
                await asyncio.sleep(RETRY_S)

    async def _given_back(self, item: WorkItem) -> bool:
        if self._under_way - self.calls.waiting < ENOUGH or item.deliveries > 1:
            return False
        # Of its own: the others' turns go on while this one is put aside.
        give_back = self._gave_back = not self._gave_back
        if give_back:
            await item.redeliver_after(0.0)
            await asyncio.sleep(ASIDE_S)
        return give_back

    async def _work(self, facility_id: str, item: WorkItem) -> None:
        self._under_way += 1
        try:
            await self._carried_out(facility_id, item)
        finally:
            self._under_way -= 1

    async def _carried_out(self, facility_id: str, item: WorkItem) -> None:
        async with kept(item, self.source.redelivery_s), self.locks.held(f"bms:{facility_id}"):
            try:
                work = json_decoder(BmsWork).decode(item.body)
                await self.calls.do(work)
            except COMES_AGAIN:
                raise
            except POISON as error:
                log.exception("parked: it can never be carried out", facility=facility_id)
                await self.calls.park_poison(facility_id, item.body, f"{type(error).__name__}: {error}")
        await item.done()


def _raise_failure(task: asyncio.Task[None] | None) -> None:
    """A task that ended by an error ends the worker: its supervisor starts a fresh one."""
    if task is not None and not task.cancelled() and (error := task.exception()) is not None:
        raise error
