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
KEPT_S = 2.0
HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 5.0
"""A session that does not answer for as long counts as lost, with its slots."""
CLASS_ID = 0x626D73
"""Of the two-part lock keys: apart from those of the named locks, which have one part."""
# Candidates come as an array: a session is given its own lock a second time, and a filter beside the lock might be
# looked at only after it.
_TAKE = "SELECT slot FROM unnest(%s::int[]) AS slot WHERE pg_try_advisory_lock(%s, slot) LIMIT %s"
_GIVE = "SELECT pg_advisory_unlock(%s, slot) FROM unnest(%s::int[]) AS slot"
_ASK = "SELECT 1"


@dataclass(frozen=True, eq=False)
class _Slot:
    """A slot as one connection got it; lost with that connection."""

    number: int
    got_at: float


class _Queue:
    """Who waits for a slot: who goes on, then the urgent, then the others, each in the order of asking."""

    def __init__(self) -> None:
        self._going_on: deque[asyncio.Future[_Slot]] = deque()
        self._urgent: deque[asyncio.Future[_Slot]] = deque()
        self._others: deque[asyncio.Future[_Slot]] = deque()

    def __len__(self) -> int:
        return sum(not future.done() for queue in self._queues for future in queue)

    @property
    def _queues(self) -> tuple[deque[asyncio.Future[_Slot]], ...]:
        return self._going_on, self._urgent, self._others

    def join(self, *, urgent: bool, goes_on: bool) -> asyncio.Future[_Slot]:
        future: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        (self._others if not urgent else self._going_on if goes_on else self._urgent).append(future)
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
        self._mine: dict[int, _Slot] = {}
        self._waiting = _Queue()
        self._unneeded: list[int] = []
        self._exchange: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def held(self, *, urgent: bool = True, goes_on: bool = False) -> AsyncIterator[None]:
        slot = await self._next(self._waiting.join(urgent=urgent, goes_on=goes_on))
        try:
            yield
        finally:
            self._back(slot)

    async def aclose(self) -> None:
        for task in (self._exchange, self._heartbeat):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._lose_all()

    async def _next(self, future: asyncio.Future[_Slot]) -> _Slot:
        self._exchange_soon()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._back(future.result())
            raise

    def _back(self, slot: _Slot) -> None:
        if self._mine.get(slot.number) is not slot:
            return  # its connection was lost, and with it the slot
        if time.monotonic() - slot.got_at < KEPT_S and self._waiting.serve(slot):
            return
        del self._mine[slot.number]
        self._unneeded.append(slot.number)
        self._exchange_soon()

    def _exchange_soon(self) -> None:
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.create_task(self._exchange_with_database())

    async def _exchange_with_database(self) -> None:
        """Give back what nobody here needs, and take while somebody waits."""
        while len(self._waiting) or self._unneeded:
            try:
                await self._give()
                got = await self._take(len(self._waiting))
            except psycopg.OperationalError:
                got = []  # all is lost; the next try reconnects
            except Exception as error:  # noqa: BLE001 - raised by each who waits for a slot
                self._waiting.fail(error)
                return
            for number in got:
                slot = self._mine[number] = _Slot(number, time.monotonic())
                if not self._waiting.serve(slot):
                    del self._mine[number]
                    self._unneeded.append(number)
            if self._mine and (self._heartbeat is None or self._heartbeat.done()):
                self._heartbeat = asyncio.create_task(self._watch())
            if not got and len(self._waiting):
                await asyncio.sleep(POLL_WHILE_SERVED_S if self._mine else POLL_S)

    async def _watch(self) -> None:
        """While slots are held: is the session that holds them still there?"""
        while self._mine:
            await asyncio.sleep(HEARTBEAT_S)
            if self._mine:
                with suppress(psycopg.OperationalError):  # `_ask` has forgotten them
                    await self._ask(_ASK)

    async def _give(self) -> None:
        numbers, self._unneeded = self._unneeded, []
        if numbers and self._connection is not None:
            await self._ask(_GIVE, (CLASS_ID, numbers))

    async def _take(self, wanted: int) -> list[int]:
        if wanted == 0:
            return []
        held = {*self._mine, *self._unneeded}
        candidates = [number for number in range(1, self._number + 1) if number not in held]
        rows = await self._ask(_TAKE, (candidates, CLASS_ID, wanted))
        return [int(str(row[0])) for row in rows]

    async def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[object, ...]]:
        """Raises OperationalError; all slots are lost then."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    connection = await self._connected()
                    return await (await connection.execute(sql, values)).fetchall()
            except (psycopg.OperationalError, TimeoutError) as error:
                await self._lose_all()
                raise psycopg.OperationalError(f"the session that holds the call slots: {error}") from error

    async def _connected(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is not None and self._connection.closed:
            await self._lose_all()
        if self._connection is None:
            self._connection = await AsyncConnection.connect(
                self._database_url,
                autocommit=True,
                connect_timeout=5,
                application_name="gridproof call slots",
            )
        return self._connection

    async def _lose_all(self) -> None:
        connection, self._connection = self._connection, None
        self._mine.clear()
        self._unneeded.clear()
        if connection is not None:
            await connection.close()
