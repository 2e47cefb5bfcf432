"""Named locks as PostgreSQL session advisory locks, all held by one connection.

Requests and releases of the same moment are sent in one round trip.

PostgreSQL does not notify a client whose session it has ended, so the session is checked every second while
it holds a lock. If it is lost, the blocks that run under its locks are cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from typing import Any

import psycopg
from psycopg import AsyncConnection

from application.ports.coordination.locks import LockLost

POLL_S = 0.05
HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 5.0
"""A session that does not answer for this long counts as lost: PostgreSQL may have ended it on its side."""

# Passed as an array of distinct keys, because a session gets its own lock a second time.
_ACQUIRE = "SELECT key FROM unnest(%s::bigint[]) AS key WHERE pg_try_advisory_lock(key)"
_RELEASE = "SELECT pg_advisory_unlock(key) FROM unnest(%s::bigint[]) AS key"
_PING = "SELECT unnest(%s::bigint[])"

_Session = AsyncConnection[tuple[object, ...]]


class AdvisoryLocks:
    """Retries every 50 ms. PostgreSQL releases the locks of a killed process within milliseconds."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: _Session | None = None
        self._one_at_a_time = asyncio.Lock()
        self._busy: set[str] = set()
        """Names that are held, requested, or being released."""
        self._requests: list[tuple[str, asyncio.Future[_Session | None]]] = []
        self._releases: list[tuple[str, asyncio.Future[None]]] = []
        self._exchange: asyncio.Task[None] | None = None
        self._scopes: dict[str, asyncio.Timeout] = {}
        self._heartbeat: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AsyncIterator[None]:
        while (session := await self._try_acquire(name)) is None:
            if while_waiting is not None:
                while_waiting()
            await asyncio.sleep(POLL_S)
        scope = asyncio.timeout(None)  # rescheduled to now when the session is lost
        try:
            async with scope:
                self._register(name, scope, session)
                yield
        except TimeoutError as error:
            if scope.expired():
                raise LockLost(f"the database session that held the lock {name!r} was lost") from error
            raise
        finally:
            await self._unlock(name)

    async def aclose(self) -> None:
        """Close the session. Tasks that still hold a lock have lost it."""
        async with self._one_at_a_time:
            await self._drop_session()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)

    def _register(self, name: str, scope: asyncio.Timeout, session: _Session) -> None:
        if self._connection is not session or session.closed:  # lost since it was acquired
            scope.reschedule(asyncio.get_running_loop().time())
            return
        self._scopes[name] = scope
        if self._heartbeat is None or self._heartbeat.done():
            self._heartbeat = asyncio.create_task(self._watch())

    async def _unlock(self, name: str) -> None:
        if self._scopes.pop(name, None) is None:  # the session is gone and has released it already
            self._busy.discard(name)
            return
        await self._release_soon(name)

    def _release_soon(self, name: str) -> asyncio.Future[None]:
        releases: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._releases.append((name, releases))
        self._exchange_soon()
        return releases

    async def _watch(self) -> None:
        while self._scopes:
            await asyncio.sleep(HEARTBEAT_S)
            if self._scopes:
                with suppress(psycopg.OperationalError):  # `_execute` has cancelled the holders
                    await self._execute(_PING, [1])

    async def _try_acquire(self, name: str) -> _Session | None:
        """The session that holds the lock now, or None."""
        if name in self._busy:  # a session can take its own lock twice; two tasks of this process must not
            return None
        self._busy.add(name)
        future: asyncio.Future[_Session | None] = asyncio.get_running_loop().create_future()
        self._requests.append((name, future))
        self._exchange_soon()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result() is not None:
                self._release_soon(name)  # it was granted at the same moment
            raise

    def _exchange_soon(self) -> None:
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.create_task(self._exchange_with_database())

    async def _exchange_with_database(self) -> None:
        while self._requests or self._releases:
            await self._release()
            await self._acquire()

    async def _release(self) -> None:
        releases, self._releases = self._releases, []
        if not releases:
            return
        await self._locked_keys(_RELEASE, releases)  # a session that is gone has released them
        for name, future in releases:
            self._busy.discard(name)
            if not future.done():
                future.set_result(None)

    async def _acquire(self) -> None:
        requests, self._requests = self._requests, []
        if not requests:
            return
        acquired = await self._locked_keys(_ACQUIRE, requests)
        session = self._connection if acquired else None
        for name, future in requests:
            granted = session if lock_key(name) in acquired else None
            if granted is None:
                self._busy.discard(name)
            if not future.done():
                future.set_result(granted)
            elif granted is not None:  # the requesting task was cancelled meanwhile
                self._release_soon(name)

    async def _locked_keys(
        self, sql: str, requests: Sequence[tuple[str, asyncio.Future[Any]]]
    ) -> set[object]:
        """The keys for which `sql` succeeded; none if the database is unreachable, and the next attempt
        reconnects. Another error is set on every request."""
        try:
            return await self._execute(sql, [lock_key(name) for name, _ in requests])
        except psycopg.OperationalError:
            return set()
        except Exception as error:  # noqa: BLE001 - raised in each task that waits
            for _, future in requests:
                if not future.done():
                    future.set_exception(error)
            return set()

    async def _execute(self, sql: str, numbers: list[int]) -> set[object]:
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    connection = await self._connected()
                    rows = await (await connection.execute(sql, (numbers,))).fetchall()
            except (psycopg.OperationalError, TimeoutError) as error:
                await self._drop_session()
                raise psycopg.OperationalError(f"the session that holds the locks: {error}") from error
            return {row[0] for row in rows}

    async def _connected(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is not None and self._connection.closed:
            await self._drop_session()
        if self._connection is None:
            self._connection = await AsyncConnection.connect(
                self._database_url, autocommit=True, connect_timeout=5, application_name="gridproof locks"
            )
        return self._connection

    async def _drop_session(self) -> None:
        """Close the session; the blocks that run under its locks are cancelled."""
        connection, self._connection = self._connection, None
        now = asyncio.get_running_loop().time()
        for scope in self._scopes.values():
            scope.reschedule(now)
        self._scopes.clear()
        if connection is not None:
            await connection.close()


def lock_key(name: str) -> int:
    """The 64-bit key that PostgreSQL uses for the lock `name`."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
