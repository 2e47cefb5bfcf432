"""Call slots by PostgreSQL's session advisory locks: one connection holds them all, and loses them when it dies.

A slot given back goes to the next caller of this process, so that a busy worker asks the database seldom; but no longer
than `KEPT_S`, so that the callers of another process get their turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection

POLL_S = 0.02
KEPT_S = 2.0
CLASS_ID = 0x626D73
"""Of the two-part lock keys: apart from those of the named locks, which have one part."""
# Candidates come as an array: a session is given its own lock a second time, and a filter beside the lock might be
# looked at only after it.
_TAKE = "SELECT slot FROM unnest(%s::int[]) AS slot WHERE pg_try_advisory_lock(%s, slot) LIMIT %s"
_GIVE = "SELECT pg_advisory_unlock(%s, slot) FROM unnest(%s::int[]) AS slot"


@dataclass(frozen=True, eq=False)
class _Slot:
    """A slot as one connection got it; lost with that connection."""

    number: int
    got_at: float


class _Queue:
    """Who waits for a slot: the urgent before the others, each in the order of asking."""

    def __init__(self) -> None:
        self._urgent: deque[asyncio.Future[_Slot]] = deque()
        self._others: deque[asyncio.Future[_Slot]] = deque()

    def __len__(self) -> int:
        return sum(not future.done() for queue in (self._urgent, self._others) for future in queue)

    def join(self, urgent: bool) -> asyncio.Future[_Slot]:
        future: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._others).append(future)
        return future

    def serve(self, slot: _Slot) -> bool:
        """False where nobody waits any more."""
        for queue in (self._urgent, self._others):
            while queue:
                future = queue.popleft()
                if not future.done():
                    future.set_result(slot)
                    return True
        return False


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

    @asynccontextmanager
    async def held(self, *, urgent: bool = True) -> AsyncIterator[None]:
        slot = await self._next(urgent)
        try:
            yield
        finally:
            self._back(slot)

    async def aclose(self) -> None:
        if self._exchange is not None:
            self._exchange.cancel()
            with suppress(asyncio.CancelledError):
                await self._exchange
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _next(self, urgent: bool) -> _Slot:
        future = self._waiting.join(urgent)
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
                self._lose_all()  # the next try reconnects
                got = []
            for number in got:
                slot = self._mine[number] = _Slot(number, time.monotonic())
                if not self._waiting.serve(slot):
                    del self._mine[number]
                    self._unneeded.append(number)
            if not got and len(self._waiting):
                await asyncio.sleep(POLL_S)

    async def _give(self) -> None:
        numbers, self._unneeded = self._unneeded, []
        if numbers and self._connection is not None:
            await self._connection.execute(_GIVE, (CLASS_ID, numbers))

    async def _take(self, wanted: int) -> list[int]:
        if wanted == 0:
            return []
        connection = await self._connected()
        held = {*self._mine, *self._unneeded}
        candidates = [number for number in range(1, self._number + 1) if number not in held]
        rows = await connection.execute(_TAKE, (candidates, CLASS_ID, wanted))
        return [int(str(row[0])) for row in await rows.fetchall()]

    async def _connected(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            self._lose_all()
            self._connection = await AsyncConnection.connect(
                self._database_url, autocommit=True, connect_timeout=5
            )
        return self._connection

    def _lose_all(self) -> None:
        self._connection = None
        self._mine.clear()
        self._unneeded.clear()
