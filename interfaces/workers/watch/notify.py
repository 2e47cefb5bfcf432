"""NotifyWorker: takes callbacks from the open work and sends them to the utilities, several of each at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from application.callback import CallbackCalls, recorded_callback
from application.command_bus.retry import Pauses, retry_limited, retry_while_unavailable
from application.command_bus.spans import logged, traced
from application.command_bus.trace_context import span_id_of
from application.event_store.event_mapper import UnreadableDomainEvent
from application.event_store.open_work import IntentNotRecorded
from application.ports.dispatch.open_work import NotHeld, OpenWork, OpenWorkRows, WorkHolder
from application.ports.dispatch.requested_work import CallbackWork
from application.ports.event_store.event_log import EventLog, LogEntryUnreadable
from interfaces.workers.loops.open_work import OpenWorkLoop, Signal

AT_ONCE, AT_ONCE_OF_ONE = 128, 4
"""Calls under way, in this worker and of one utility. So a utility whose addresses never answer holds a few places
only, however many callbacks it has."""
RETRY_S, LONGEST_RETRY_S = 0.5, 5.0
FINISH_WITHIN_S = 2.0
"""How long calls under way may still take once the worker is told to stop. All of these are wall seconds."""
_FINAL = (UnreadableDomainEvent, LogEntryUnreadable, IntentNotRecorded, NotHeld)
"""Errors that a repetition meets again."""
TAnswer = TypeVar("TAnswer")
log = structlog.get_logger("watch")


@dataclass
class NotifyWorker:
    """Any number of them may run. In one worker the callbacks of one DR event are sent one after the other."""

    rows: OpenWorkRows
    holder: WorkHolder
    signal: Signal
    event_log: EventLog
    calls: CallbackCalls
    at_once: int = AT_ONCE
    at_once_of_one: int = AT_ONCE_OF_ONE
    _locks: WeakValueDictionary[UUID, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _under_way: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no call is under way."""
    _is_stopping: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`. What is not over then is free for another worker at once."""
        self._idle.set()
        loop = OpenWorkLoop("notify", self.rows, self.holder, self.signal, take=self._take, do=self._do)
        over = asyncio.Event()
        running = asyncio.create_task(loop.run(over))
        stopping = asyncio.create_task(self._end(stop, over))
        try:
            await running
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    def _take(self, holder: int, in_hand: Collection[OpenWork]) -> list[OpenWork]:
        at_most = self.at_once - len(in_hand)
        if self._is_stopping or at_most <= 0:
            return []
        return self.rows.take_callbacks(holder, at_most=at_most, at_once=self.at_once_of_one)

    async def _end(self, stop: asyncio.Event, over: asyncio.Event) -> None:
        await stop.wait()
        self._is_stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_WITHIN_S):
                await self._idle.wait()
        over.set()

    async def _do(self, row: OpenWork) -> float | None:
        """Send a callback, or park it. Returns the pause after which it is tried again; None: it is over."""
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._send_or_park(row)
        except NotHeld as error:
            log.warning("another worker has it", why=str(error))
            return None
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _send_or_park(self, row: OpenWork) -> float | None:
        """Holds the row while a store is away: another take would count as a try.

        A callback that this release cannot read is put off, and a worker of the newer release sends it. One that fails
        with any other error is parked after some tries; it must not stop those behind it.
        """
        try:
            work = await self._limited(partial(self._recorded, row))
        except (UnreadableDomainEvent, LogEntryUnreadable) as error:
            return self._left_to_newer(row, error)
        except Exception as error:
            log.exception("a row without a callback", queue=row.queue, position=row.position)
            return await self._parked(partial(self.calls.park_poison, row, _said(error)), row)
        with logged(work.trace_id, dr_event=work.dr_event_id):
            try:
                return await self._limited(partial(self._carry_out, work, row))
            except UnreadableDomainEvent as error:
                return self._left_to_newer(row, error)
            except NotHeld:
                raise
            except Exception as error:
                log.exception("a callback failed for good")
                return await self._parked(partial(self.calls.park_failed, work, row, _said(error)), row)

    async def _recorded(self, row: OpenWork) -> CallbackWork:
        if row.position is None:
            raise IntentNotRecorded(f"row {row.number} has no position")
        return await asyncio.to_thread(recorded_callback, self.event_log, row.position)

    async def _carry_out(self, work: CallbackWork, row: OpenWork) -> float | None:
        async with self._locks.setdefault(work.dr_event_id, asyncio.Lock()):
            with traced(
                f"callback {work.kind}",
                work.trace_id,
                parent_id=span_id_of(work.causation_id),
                kind="consumer",
                dr_event=work.dr_event_id,
                tries=row.tries,
            ):
                return await self.calls.carry_out(work, row)

    async def _limited(self, call: Callable[[], Awaitable[TAnswer]]) -> TAnswer:
        """The answer of `call`, which waits while a server is away, and tries again a few times at another error."""
        pauses = Pauses(RETRY_S, LONGEST_RETRY_S)
        return await retry_limited(call, final=_FINAL, outage_pauses=pauses)

    def _left_to_newer(self, row: OpenWork, error: Exception) -> float:
        log.warning("it cannot be read; it is tried again", queue=row.queue, why=str(error))
        return self.calls.pause_wall_s(row.tries)

    async def _parked(self, park: Callable[[], Awaitable[None]], row: OpenWork) -> float | None:
        """If even that fails, it is tried again after a pause, and others are served meanwhile."""
        try:
            await retry_while_unavailable(park)
        except NotHeld:
            raise
        except Exception:
            log.exception("a failed callback could not be parked; it is tried again")
            return self.calls.pause_wall_s(row.tries)
        return None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
