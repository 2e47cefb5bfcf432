"""Exclusive locks, whose holder works on while the session of the locks is replaced, and a count of the locks that each
process holds."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psycopg
import structlog

from adapters.postgres.coordination.session_locks import NAMES, LockSession

_log = structlog.get_logger(__name__)

_POLL_S = 0.2
_WATCH_EVERY_S = 1.0
_RETRY_EVERY_S = 0.5
_LEAVE_S = 0.5
"""A process leaves the lock that it has released to those that wait for it so long."""
HOLDERS_WITHIN_S = 5.0
COUNT_BY_HOLDER = """
SELECT split_part(a.application_name, '/', 2), count(l.pid)
FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND l.granted
WHERE a.datname = current_database() AND starts_with(a.application_name, %s) AND a.application_name LIKE '%%/%%'
GROUP BY 1
"""
"""Parameter: what the names of the sessions begin with, before `/HOLDER`. A holder whose sessions wait has 0."""


def exclusive_session(database_url: str, prefix: str, *, holder: str | None = None) -> LockSession:
    """The session of a process whose locks have names with this prefix. `holder` identifies it in
    PostgresLockHolders."""
    return LockSession(database_url, f"turn {prefix}" if holder is None else f"turn {prefix}/{holder}")


class PostgresExclusiveLock:
    """The lock `name`, among all processes on one database.

    While PostgreSQL is unreachable the holder continues for `session_locks.GIVE_UP_S`: until then no other process can
    acquire the lock.
    """

    def __init__(self, session: LockSession, name: str) -> None:
        self._session = session
        self._name = name
        self._may_acquire_at = 0.0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[asyncio.Event]:
        lost = asyncio.Event()
        await self._acquire()
        watch = asyncio.create_task(self._watch(lost))
        try:
            yield lost
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await self._session.release(NAMES, [self._name])
            self._may_acquire_at = asyncio.get_running_loop().time() + _LEAVE_S

    async def _acquire(self) -> None:
        await asyncio.sleep(self._may_acquire_at - asyncio.get_running_loop().time())
        while True:
            try:
                if await self._session.acquire(NAMES, [self._name]):
                    return
                await asyncio.sleep(_POLL_S)
            except psycopg.OperationalError as error:
                _log.warning("exclusive lock: PostgreSQL does not answer, retrying", error=str(error))
                await asyncio.sleep(_RETRY_EVERY_S)

    async def _watch(self, lost: asyncio.Event) -> None:
        while not lost.is_set():
            held = self._session.holds(NAMES, self._name)
            await asyncio.sleep(
                _WATCH_EVERY_S if held else min(_WATCH_EVERY_S, max(self._session.patience_s, 0.0))
            )
            if not self._session.holds(NAMES, self._name) and not await self._is_reacquired():
                lost.set()

    async def _is_reacquired(self) -> bool:
        """False: another process holds the lock, or may hold it by now."""
        try:
            async with asyncio.timeout(self._session.patience_s):
                taken = await self._session.acquire(NAMES, [self._name])
        except psycopg.OperationalError as error:
            _log.warning("exclusive lock: its session broke", lock=self._name, error=str(error))
            return True  # for the time being
        except TimeoutError:
            _log.warning("exclusive lock: PostgreSQL does not answer, given up", lock=self._name)
            return False
        if not taken:
            _log.warning("exclusive lock: another process holds it now", lock=self._name)
        return bool(taken)


class PostgresLockHolders:
    """Counts the locks whose names begin with `prefix`, per `holder` of an `exclusive_session`."""

    def __init__(self, session: LockSession, prefix: str) -> None:
        self._session = session
        self._prefix = prefix

    async def count_by_holder(self) -> Mapping[str, int]:
        try:
            async with asyncio.timeout(HOLDERS_WITHIN_S):
                rows = await self._session.query(COUNT_BY_HOLDER, (f"turn {self._prefix}",))
        except (psycopg.OperationalError, TimeoutError) as error:
            raise ConnectionError(f"PostgreSQL does not say who holds what: {error}") from error
        return {str(holder): int(count) for holder, count in rows}
