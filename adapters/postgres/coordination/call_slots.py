"""Call slots: of n locks each caller holds one, whichever is free. Commands to buildings are urgent, checks are not.

A returned slot goes to the next caller in this process, so that a busy worker seldom asks the database. After
`REUSE_S` it is released, so that callers in other processes get it. Slots that are lost with the session of the locks
are not handed out again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

import psycopg

from adapters.postgres.coordination.session_locks import KeySpace, LockSession
from application.dispatch.time_limits import TIME_LIMITS

POLL_S, POLL_WHILE_SERVED_S = 0.02, 0.1
"""Pauses between two attempts to get more slots: without any slot, and while the held slots still serve
callers."""
REUSE_S = 2.0
CALL_SLOTS = KeySpace.of_class(0x626D73)
SESSION = "gridproof call slots"
"""Name of the dispatch worker's session, by which the operations report knows that it runs."""


@dataclass(frozen=True, eq=False)
class _Slot:
    """A slot that one session acquired. It is lost with that session."""

    number: int
    acquired_at: float


class _WaitingQueue:
    """Callers that wait for a slot. First those that continue a task, then the urgent ones, then the others;
    each group in order of arrival."""

    def __init__(self) -> None:
        self._continuing: deque[asyncio.Future[_Slot]] = deque()
        self._urgent: deque[asyncio.Future[_Slot]] = deque()
        self._others: deque[asyncio.Future[_Slot]] = deque()

    def __len__(self) -> int:
        return sum(not future.done() for queue in self._queues for future in queue)

    @property
    def _queues(self) -> tuple[deque[asyncio.Future[_Slot]], ...]:
        return self._continuing, self._urgent, self._others

    def join(self, *, urgent: bool, continues: bool) -> asyncio.Future[_Slot]:
        future: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        (self._others if not urgent else self._continuing if continues else self._urgent).append(future)
        return future

    def serve(self, slot: _Slot) -> bool:
        """Give the slot to the next caller. False if nobody waits."""
        for queue in self._queues:
            while queue:
                future = queue.popleft()
                if not future.done():
                    future.set_result(slot)
                    return True
        return False

    def fail(self, error: Exception) -> None:
        """Raise the error in every caller that waits."""
        for queue in self._queues:
            while queue:
                future = queue.popleft()
                if not future.done():
                    future.set_exception(error)


class _UrgentCallers:
    """The urgent callers of this process that hold a slot or wait for one."""

    def __init__(self) -> None:
        self._number = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        self._number += 1
        self._none.clear()
        try:
            yield
        finally:
            self._number -= 1
            if not self._number:
                self._none.set()

    async def defer(self, at_most_s: float) -> None:
        """Wait until there is none, at most `at_most_s` wall seconds: its call may hang."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._none.wait()


class PostgresCallSlots:
    """`number` slots, shared by all processes on one database."""

    def __init__(
        self, session: LockSession, number: int, *, check_wait_s: float = TIME_LIMITS.check_wait_s
    ) -> None:
        """`check_wait_s`: wall seconds for which a caller is deferred at most."""
        self._check_wait_s = check_wait_s
        self._urgent = _UrgentCallers()
        self._session = session
        session.when_lost(self._forget)
        self._number = number
        self._held: dict[int, _Slot] = {}
        self._waiting = _WaitingQueue()
        self._surplus: list[int] = []
        self._exchange: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def held(self, *, urgent: bool = True, continues: bool = False) -> AsyncIterator[None]:
        if not urgent and not continues:
            await self._urgent.defer(self._check_wait_s)
        with self._urgent.counted() if urgent else nullcontext():
            slot = await self._granted(self._waiting.join(urgent=urgent, continues=continues))
            try:
                yield
            finally:
                self._hand_back(slot)

    async def aclose(self) -> None:
        """Close the session of the locks."""
        if self._exchange is not None:
            self._exchange.cancel()
            await asyncio.gather(self._exchange, return_exceptions=True)
        await self._session.aclose()

    async def _granted(self, future: asyncio.Future[_Slot]) -> _Slot:
        self._exchange_soon()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._hand_back(future.result())
            raise

    def _hand_back(self, slot: _Slot) -> None:
        if self._held.get(slot.number) is not slot:
            return  # the session was lost, and the slot with it
        if time.monotonic() - slot.acquired_at < REUSE_S and self._waiting.serve(slot):
            return
        del self._held[slot.number]
        self._surplus.append(slot.number)
        self._exchange_soon()

    def _exchange_soon(self) -> None:
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.create_task(self._exchange_with_database())

    async def _exchange_with_database(self) -> None:
        """Release surplus slots, and acquire slots while callers wait."""
        while len(self._waiting) or self._surplus:
            surplus, self._surplus = self._surplus, []
            acquired: list[int] = []
            try:
                if surplus:
                    await self._session.release(CALL_SLOTS, surplus)
                if wanted := len(self._waiting):
                    slots = range(1, self._number + 1)
                    acquired = await self._session.acquire(CALL_SLOTS, slots, limit=wanted)
            except psycopg.OperationalError:
                pass  # all slots are lost; the next attempt reconnects
            except Exception as error:  # noqa: BLE001 - raised in each caller that waits for a slot
                self._waiting.fail(error)
                return
            for number in acquired:
                slot = self._held[number] = _Slot(number, time.monotonic())
                if not self._waiting.serve(slot):
                    del self._held[number]
                    self._surplus.append(number)
            if not acquired and len(self._waiting):
                await asyncio.sleep(POLL_WHILE_SERVED_S if self._held else POLL_S)

    def _forget(self) -> None:
        """The session is lost, and all slots with it."""
        self._held.clear()
        self._surplus.clear()
