"""Call slots as PostgreSQL session advisory locks, all held by one connection.

A returned slot goes to the next caller in this process, so that a busy worker seldom asks the database. After
`REUSE_S` it is released, so that callers in other processes get it.

If the session does not answer in time, it is closed and another one is opened. While slots are held the
session is checked every second, because PostgreSQL does not notify a client whose session it has ended. Slots
that are lost with a session are not handed out again.
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
"""Pauses between two attempts to get more slots: without any slot, and while the held slots still serve
callers."""
REUSE_S = 2.0
HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 5.0
"""A session that does not answer for this long counts as lost, with its slots."""
CLASS_ID = 0x626D73
"""First part of the two-part lock keys. Named locks use one-part keys, so that the two kinds cannot collide.
"""
# Candidates are passed as an array. A session gets its own lock a second time, and PostgreSQL may evaluate
# another condition in WHERE only after it has taken the lock.
_ACQUIRE = "SELECT slot FROM unnest(%s::int[]) AS slot WHERE pg_try_advisory_lock(%s, slot) LIMIT %s"
_RELEASE = "SELECT pg_advisory_unlock(%s, slot) FROM unnest(%s::int[]) AS slot"
_PING = "SELECT 1"


@dataclass(frozen=True, eq=False)
class _Slot:
    """A slot that one connection acquired. It is lost with that connection."""

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


class PostgresCallSlots:
    """`number` slots, shared by all processes on one database."""

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
    async def held(self, *, urgent: bool = True, continues: bool = False) -> AsyncIterator[None]:
        slot = await self._granted(self._waiting.join(urgent=urgent, continues=continues))
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
            return  # the connection was lost, and the slot with it
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
            try:
                await self._release()
                acquired = await self._acquire(len(self._waiting))
            except psycopg.OperationalError:
                acquired = []  # all slots are lost; the next attempt reconnects
            except Exception as error:  # noqa: BLE001 - raised in each caller that waits for a slot
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
        """While slots are held, check every second that their session is alive."""
        while self._held:
            await asyncio.sleep(HEARTBEAT_S)
            if self._held:
                with suppress(psycopg.OperationalError):  # `_execute` has dropped the slots
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
        """Run a statement in the session. Raises OperationalError; all slots are lost in that case."""
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
