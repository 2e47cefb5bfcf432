"""Locks by PostgreSQL's session advisory locks: one connection holds them all, and loses them when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b

import psycopg
from psycopg import AsyncConnection

POLL_S = 0.05


class AdvisoryLocks:
    """Tries again every 50 ms; PostgreSQL frees the locks of a killed process within milliseconds."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: AsyncConnection[tuple[object, ...]] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._mine: set[str] = set()

    @asynccontextmanager
    async def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AsyncIterator[None]:
        while not await self._try(name):
            if while_waiting is not None:
                while_waiting()
            await asyncio.sleep(POLL_S)
        try:
            yield
        finally:
            await self._release(name)

    async def aclose(self) -> None:
        async with self._one_at_a_time:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _try(self, name: str) -> bool:
        if name in self._mine:  # a session may take its own lock twice; two tasks of ours may not
            return False
        self._mine.add(name)
        got = False
        try:
            got = bool(await self._ask("SELECT pg_try_advisory_lock(%s)", name))
        except psycopg.OperationalError:
            got = False  # the database is away; the next try reconnects
        finally:
            if not got:
                self._mine.discard(name)
        return got

    async def _release(self, name: str) -> None:
        self._mine.discard(name)
        with suppress(psycopg.OperationalError):  # a lost connection has freed it already
            await self._ask("SELECT pg_advisory_unlock(%s)", name)

    async def _ask(self, sql: str, name: str) -> object:
        async with self._one_at_a_time:
            try:
                connection = await self._connected()
                row = await (await connection.execute(sql, (lock_key(name),))).fetchone()
            except psycopg.OperationalError:
                self._connection = None
                raise
            return row[0] if row else None

    async def _connected(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self._database_url, autocommit=True, connect_timeout=5
            )
        return self._connection


def lock_key(name: str) -> int:
    """PostgreSQL's 64-bit key of a lock's name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
