"""Call slots by PostgreSQL's session advisory locks: one connection holds them all, and loses them when it dies.

A slot given back goes to the next caller of this process, so that a busy worker asks the database seldom; but no longer
than `KEPT_S`, so that the callers of another process get their turn.

A session that does not answer in time is given up and another one is opened; while slots are held it is asked every
second, since PostgreSQL says nothing to a client whose session it ended. Lost slots are handed to nobody any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection

POLL_S, POLL_WHILE_SERVED_S = 0.02, 0.1
"""Between two tries to get more slots: who has some serves its callers with these meanwhile."""
REUSE_S = 2.0
HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 5.0
"""A session that does not answer for as long counts as lost, with its slots."""
CLASS_ID = 0x626D73
"""Of the two-part lock keys: apart from those of the named locks, which have one part."""
# Candidates come as an array: a session is given its own lock a second time, and a filter beside the lock might be
# looked at only after it.
_ACQUIRE = "SELECT slot FROM unnest(%s::int[]) AS slot WHERE pg_try_advisory_lock(%s, slot) LIMIT %s"
_RELEASE = "SELECT pg_advisory_unlock(%s, slot) FROM unnest(%s::int[]) AS slot"
_PING = "SELECT 1"


@dataclass(frozen=True, eq=False)
class _Slot:
    """A slot as one connection got it; lost with that connection."""

    number: int
    acquired_at: float


class _WaitingQueue:
    """Who waits for a slot: who goes on, then the urgent, then the others, each in the order of asking."""

    def __init__(self) -> None:
        self._continuing: deque[asyncio.Future[_Slot]] = deque()
        self._urgent: deque[asyncio.Future[_Slot]] = deque()
        self._others: deque[asyncio.Future[_Slot]] = deque()

    def __len__(self) -> int:
        return sum(not future.done() for queue in self._queues for future in queue)

    @property
    def _queues(self) -> tuple[deque[asyncio.Future[_Slot]], ...]:
        return self._continuing, self._urgent, self._others

    def join(self, *, urgent: bool, goes_on: bool) -> asyncio.Future[_Slot]:
        future: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        (self._others if not urgent else self._continuing if goes_on else self._urgent).append(future)
        return future

    def serve(self, slot: _Slot) -> bool:
        """False where nobody waits any more."""
        for queue in self._queues:
            while queue:
                future = queue.popleft()
                if not future.done():
                    future.set_result(slot)
                    return True
        return False

    def fail(self, error: Exception) -> None:
        """Whoever waits now is told."""
        for queue in self._queues:
            while queue:
                future = queue.popleft()
                if not future.done():
                    future.set_exception(error)


class PostgresCallSlots:
    """`number` slots for all processes on one database."""

    def __init__(self, database_url: str, number: int) -> None:
        self._database_url = database_url
        self._number = number
        self._connection: AsyncConnection[tuple[object, ...]] | None = None
        self._held: dict[int, _Slot] = {}
        self._waiting = _WaitingQueue()
        self._surplus: list[int] = []
        self._exchange: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def held(self, *, urgent: bool = True, goes_on: bool = False) -> AsyncIterator[None]:
        slot = await self._granted(self._waiting.join(urgent=urgent, goes_on=goes_on))
        try:
            yield
        finally:
            self._hand_back(slot)

    async def aclose(self) -> None:
        for task in (self._exchange, self._heartbeat):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._disconnect()

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
            return  # its connection was lost, and with it the slot
        if time.monotonic() - slot.acquired_at < REUSE_S and self._waiting.serve(slot):
            return
        del self._held[slot.number]
        self._surplus.append(slot.number)
        self._exchange_soon()

    def _exchange_soon(self) -> None:
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.create_task(self._exchange_with_database())

    async def _exchange_with_database(self) -> None:
        """Give back what nobody here needs, and take while somebody waits."""
        while len(self._waiting) or self._surplus:
            try:
                await self._release()
                acquired = await self._acquire(len(self._waiting))
            except psycopg.OperationalError:
                acquired = []  # all is lost; the next try reconnects
            except Exception as error:  # noqa: BLE001 - raised by each who waits for a slot
                self._waiting.fail(error)
                return
            for number in acquired:
                slot = self._held[number] = _Slot(number, time.monotonic())
                if not self._waiting.serve(slot):
                    del self._held[number]
                    self._surplus.append(number)
            if self._held and (self._heartbeat is None or self._heartbeat.done()):
                self._heartbeat = asyncio.create_task(self._check_session())
            if not acquired and len(self._waiting):
                await asyncio.sleep(POLL_WHILE_SERVED_S if self._held else POLL_S)

    async def _check_session(self) -> None:
        """While slots are held: is the session that holds them still there?"""
        while self._held:
            await asyncio.sleep(HEARTBEAT_S)
            if self._held:
                with suppress(psycopg.OperationalError):  # `_ask` has forgotten them
                    await self._execute(_PING)

    async def _release(self) -> None:
        numbers, self._surplus = self._surplus, []
        if numbers and self._connection is not None:
            await self._execute(_RELEASE, (CLASS_ID, numbers))

    async def _acquire(self, count: int) -> list[int]:
        if count == 0:
            return []
        held = {*self._held, *self._surplus}
        candidates = [number for number in range(1, self._number + 1) if number not in held]
        rows = await self._execute(_ACQUIRE, (candidates, CLASS_ID, count))
        return [int(str(row[0])) for row in rows]

    async def _execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[object, ...]]:
        """Raises OperationalError; all slots are lost then."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    connection = await self._connected()
                    return await (await connection.execute(sql, values)).fetchall()
            except (psycopg.OperationalError, TimeoutError) as error:
                await self._disconnect()
                raise psycopg.OperationalError(f"the session that holds the call slots: {error}") from error

    async def _connected(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is not None and self._connection.closed:
            await self._disconnect()
        if self._connection is None:
            self._connection = await AsyncConnection.connect(
                self._database_url,
                autocommit=True,
                connect_timeout=5,
                application_name="gridproof call slots",
            )
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        self._surplus.clear()
        if connection is not None:
            await connection.close()
