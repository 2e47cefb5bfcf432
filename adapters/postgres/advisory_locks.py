"""Locks by PostgreSQL's session advisory locks: one connection holds them all, and loses them when it dies.

PostgreSQL says nothing to a client whose session it ended, so the session is asked every second while it holds
anything. When it is gone, all that is done under its locks is stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b

import psycopg
from psycopg import AsyncConnection

from application.ports.locks import LockLost

POLL_S = 0.05
HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 5.0
"""A session that does not answer for as long counts as lost: PostgreSQL may have ended it on its side."""

_TAKE, _FREE, _ASK = "SELECT pg_try_advisory_lock(%s)", "SELECT pg_advisory_unlock(%s)", "SELECT %s::bigint"


class AdvisoryLocks:
    """Tries again every 50 ms; PostgreSQL frees the locks of a killed process within milliseconds."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: AsyncConnection[tuple[object, ...]] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._mine: set[str] = set()
        self._grips: dict[str, asyncio.Timeout] = {}
        self._heartbeat: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AsyncIterator[None]:
        while not await self._try(name):
            if while_waiting is not None:
                while_waiting()
            await asyncio.sleep(POLL_S)
        grip = asyncio.timeout(None)  # it expires when the session is lost
        try:
            async with grip:
                self._hold(name, grip)
                yield
        except TimeoutError as error:
            if grip.expired():
                raise LockLost(f"the database session that held the lock {name!r} is gone") from error
            raise
        finally:
            await self._let_go(name)

    async def aclose(self) -> None:
        """Whoever holds a lock still has lost it."""
        async with self._one_at_a_time:
            await self._lose()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)

    def _hold(self, name: str, grip: asyncio.Timeout) -> None:
        if self._connection is None or self._connection.closed:  # lost since it was taken
            grip.reschedule(asyncio.get_running_loop().time())
            return
        self._grips[name] = grip
        if self._heartbeat is None or self._heartbeat.done():
            self._heartbeat = asyncio.create_task(self._watch())

    async def _let_go(self, name: str) -> None:
        is_held = self._grips.pop(name, None) is not None
        try:
            if is_held:  # else the session has freed it already
                with suppress(psycopg.OperationalError):
                    await self._ask(_FREE, lock_key(name))
        finally:
            self._mine.discard(name)

    async def _watch(self) -> None:
        while self._grips:
            await asyncio.sleep(HEARTBEAT_S)
            if self._grips:
                with suppress(psycopg.OperationalError):  # `_ask` has told the holders
                    await self._ask(_ASK, 1)

    async def _try(self, name: str) -> bool:
        if name in self._mine:  # a session may take its own lock twice; two tasks of ours may not
            return False
        self._mine.add(name)
        got = False
        try:
            got = bool(await self._ask(_TAKE, lock_key(name)))
        except psycopg.OperationalError:
            got = False  # the database is away; the next try reconnects
        finally:
            if not got:
                self._mine.discard(name)
        return got

    async def _ask(self, sql: str, number: int) -> object:
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    connection = await self._connected()
                    row = await (await connection.execute(sql, (number,))).fetchone()
            except (psycopg.OperationalError, TimeoutError) as error:
                await self._lose()
                raise psycopg.OperationalError(f"the session that holds the locks: {error}") from error
            return row[0] if row else None

    async def _connected(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is not None and self._connection.closed:
            await self._lose()
        if self._connection is None:
            self._connection = await AsyncConnection.connect(
                self._database_url, autocommit=True, connect_timeout=5, application_name="gridproof locks"
            )
        return self._connection

    async def _lose(self) -> None:
        """The session with all its locks: their holders are stopped."""
        connection, self._connection = self._connection, None
        now = asyncio.get_running_loop().time()
        for grip in self._grips.values():
            grip.reschedule(now)
        self._grips.clear()
        if connection is not None:
            await connection.close()


def lock_key(name: str) -> int:
    """PostgreSQL's 64-bit key of a lock's name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
