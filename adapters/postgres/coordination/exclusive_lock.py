"""Exclusive locks as PostgreSQL session advisory locks, and a count of the locks that each process holds.

PostgreSQL releases a lock within milliseconds when its holder dies.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog

_log = structlog.get_logger(__name__)

_WATCH_EVERY_S = 1.0
_ANSWER_WITHIN_S = 5.0
_RETRY_EVERY_S = 0.5
HOLDERS_WITHIN_S = 5.0
_COUNT_BY_HOLDER = """
SELECT split_part(a.application_name, '/', 2), count(*) FILTER (WHERE l.granted)
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
WHERE l.locktype = 'advisory' AND a.datname = current_database() AND starts_with(a.application_name, %s)
    AND a.application_name LIKE '%%/%%'
GROUP BY 1
"""

AsyncConnection = psycopg.AsyncConnection[Any]


class PostgresExclusiveLock:
    """The lock `name`, among all processes on the database of `dsn`.

    While PostgreSQL is unreachable the holder continues: no other process can acquire the lock either.
    `holder` identifies this process in PostgresLockHolders.
    """

    def __init__(self, dsn: str, name: str, *, holder: str | None = None) -> None:
        self._dsn = dsn
        self._name = name
        self._application_name = f"turn {name}" if holder is None else f"turn {name}/{holder}"
        self._connection: AsyncConnection | None = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[asyncio.Event]:
        lost = asyncio.Event()
        watch: asyncio.Task[None] | None = None
        try:
            await self._acquire()
            watch = asyncio.create_task(self._watch(lost))
            yield lost
        finally:
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            await self._disconnect()

    async def _acquire(self) -> None:
        while True:
            try:
                connection = await self._connect()
                await connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (self._name,))
            except psycopg.OperationalError as error:
                _log.warning("exclusive lock: PostgreSQL does not answer, retrying", error=str(error))
                await self._disconnect()
                await asyncio.sleep(_RETRY_EVERY_S)
            else:
                return

    async def _watch(self, lost: asyncio.Event) -> None:
        while not lost.is_set():
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    if self._connection is None:
                        await self._reacquire(lost)
                    else:
                        await self._connection.execute("SELECT 1")
            except (psycopg.OperationalError, TimeoutError) as error:
                _log.warning("exclusive lock: its session broke", lock=self._name, error=str(error))
                await self._disconnect()

    async def _reacquire(self, lost: asyncio.Event) -> None:
        connection = await self._connect()
        cursor = await connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (self._name,)
        )
        row = await cursor.fetchone()
        if row is None or not row[0]:
            _log.warning("exclusive lock: another process holds it now", lock=self._name)
            lost.set()

    async def _connect(self) -> AsyncConnection:
        self._connection = await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, connect_timeout=5, application_name=self._application_name
        )
        # Otherwise the server would keep the session of a process that died while it waited, and grant it the
        # lock later.
        await self._connection.execute("SET client_connection_check_interval = '1s'")
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class PostgresLockHolders:
    """Counts the locks whose names begin with `prefix`, per `holder` of PostgresExclusiveLock."""

    def __init__(self, dsn: str, prefix: str) -> None:
        self._dsn = dsn
        self._prefix = prefix

    async def count_by_holder(self) -> Mapping[str, int]:
        try:
            async with asyncio.timeout(HOLDERS_WITHIN_S):
                return await self._count()
        except (psycopg.OperationalError, TimeoutError) as error:
            raise ConnectionError(f"PostgreSQL does not say who holds what: {error}") from error

    async def _count(self) -> Mapping[str, int]:
        connecting = psycopg.AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=5)
        async with await connecting as connection:
            cursor = await connection.execute(_COUNT_BY_HOLDER, (f"turn {self._prefix}",))
            return {str(holder): int(count) for holder, count in await cursor.fetchall()}
