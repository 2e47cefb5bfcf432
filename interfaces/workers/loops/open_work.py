"""OpenWorkLoop: takes rows of open work, does each in a task of its own, and finishes it or puts it off (ADR 0118)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Protocol

from application.async_batcher import AsyncBatcher
from application.command_bus.retry import retry_while_unavailable
from application.ports.dispatch.open_work import OpenWork, OpenWorkRows, OpenWorkUnavailable, WorkHolder
from interfaces.workers.loops.periodic import PeriodicCheck

LOOK_EVERY_S = 0.5
"""The longest pause between two takes: a notification may be lost, and rows become due."""
GATHER_S = 0.02
"""Pause after a take. Saves in quick succession are taken together, and other workers have their turn meanwhile."""
RETRY_S = 0.25
"""Pause after a round in which PostgreSQL did not answer."""
FREE_EVERY_S = 1.0


class Signal(Protocol):
    async def wait(self, heartbeat_s: float) -> None:
        """Return at the next save of the log, or after the heartbeat."""
        ...


@dataclass(eq=False)
class OpenWorkLoop:
    """The rows that one process holds. Times are wall seconds."""

    name: str
    """In the log."""
    rows: OpenWorkRows
    holder: WorkHolder
    signal: Signal
    take: Callable[[int, Collection[OpenWork]], list[OpenWork]]
    """Takes rows for a holder beside those in hand; called in a thread."""
    do: Callable[[OpenWork], Awaitable[float | None]]
    """Does the work of a row. None: it is over. Otherwise it is put off for so long. Its errors end the process."""
    _number: int | None = None
    _in_hand: dict[int, OpenWork] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Those of the rows in hand."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: BaseException | None = None
    _taken_again: set[int] = field(default_factory=set)
    """Rows that were taken while they were in hand: held, and in no hand once their task is over."""
    _may_hold_unknown: bool = False
    """The answer of a take was lost: rows may be held of which this process does not know."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; then what is under way is cancelled, and its rows are free for others at once."""
        free_dead = PeriodicCheck(f"{self.name}: rows of dead holders", self._free_dead, every_s=FREE_EVERY_S)
        beside = [
            self._start(self._listen()),
            self._start(self._wake_at(stop)),
            self._start(free_dead.run(stop)),
        ]
        try:
            await PeriodicCheck(self.name, self._round, every_s=0.0, retry_s=RETRY_S).run(stop)
        finally:
            await _cancelled([*beside, *self._tasks])  # all at once: this wait may be cancelled itself
            if self._number is not None:
                with suppress(
                    OpenWorkUnavailable
                ):  # its lock ends with this process, and others free the rows
                    await asyncio.to_thread(self.rows.free, self._number)

    async def _round(self) -> None:
        await self._woken()
        if self._failure is not None:
            raise self._failure
        number = await self.holder.number()
        if number != self._number:
            await _cancelled(self._tasks)  # others may have taken the rows since
            self._number, self._may_hold_unknown = number, False
        if self._may_hold_unknown or self._taken_again - self._in_hand.keys():
            kept = tuple(self._in_hand)
            await asyncio.to_thread(self.rows.free, number, keeping=kept)
            self._taken_again.intersection_update(kept)
        self._may_hold_unknown = True
        taken = await asyncio.to_thread(self.take, number, tuple(self._in_hand.values()))
        self._may_hold_unknown = False
        for row in taken:
            self._begin(row)
        if taken:
            self._wake.set()  # there may be more
        await asyncio.sleep(GATHER_S)

    async def _woken(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._wake.wait()
        self._wake.clear()

    async def _listen(self) -> None:
        while True:
            await self.signal.wait(LOOK_EVERY_S)
            self._wake.set()
            await asyncio.sleep(GATHER_S)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _free_dead(self) -> None:
        if await asyncio.to_thread(self.rows.free_dead_holders):
            self._wake.set()

    def _begin(self, row: OpenWork) -> None:
        if row.number in self._in_hand:  # it was put off, and the answer is lost or on its way
            self._taken_again.add(row.number)
            return
        self._in_hand[row.number] = row
        task = self._start(self._see_to(row))
        self._tasks.add(task)
        task.add_done_callback(partial(self._leave, row))

    def _leave(self, row: OpenWork, task: asyncio.Task[None]) -> None:
        """The row is in hand no more. Also after a task that was cancelled before it ran."""
        self._tasks.discard(task)
        del self._in_hand[row.number]
        self._wake.set()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_failure)
        return task

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
            self._wake.set()

    async def _see_to(self, row: OpenWork) -> None:
        pause_s = await self.do(row)
        if pause_s is None:
            await retry_while_unavailable(partial(self._finishes.get, row))
        else:
            put_off = partial(self.rows.put_off, row, wall_s=pause_s)
            await retry_while_unavailable(partial(asyncio.to_thread, put_off))

    @cached_property
    def _finishes(self) -> AsyncBatcher[OpenWork, None]:
        return AsyncBatcher(self._finish)

    async def _finish(self, rows: Sequence[OpenWork]) -> list[None]:
        await asyncio.to_thread(self.rows.finish, rows)
        return [None] * len(rows)


async def _cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
