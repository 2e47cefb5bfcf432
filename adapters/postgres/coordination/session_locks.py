"""Session advisory locks of PostgreSQL: one session holds all locks of a process.

PostgreSQL releases the locks of a session when the session ends: within milliseconds after its process was killed, and
after about 11 s when its host is cut off (`SERVER_SETTINGS`). It does not notify a client whose session it has ended,
so the session is used at least once a second while it holds a lock. A holder gives up after 8 s without an answer at
the latest, before PostgreSQL frees its locks for others.

Processes of two releases run side by side: the key spaces, classes and keys never change.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres.connection.session import open_async_session

HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 5.0
"""A session that does not answer for this long counts as lost: PostgreSQL may have ended it on its side."""
GIVE_UP_S = 8.0
"""A holder that works on while its session is lost stops when PostgreSQL has not answered for this long."""
SERVER_SETTINGS = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000"
    " -c client_connection_check_interval=2s"
)
"""With these the server notices after 10 to 11 s that a client has vanished. By default it takes two hours."""

# Keys are passed as an array: PostgreSQL may evaluate another condition in WHERE only after it took the lock.
_ACQUIRE = """
SELECT key FROM unnest(%s::{type}[]) AS key WHERE pg_try_advisory_lock{shared}({arguments}) LIMIT %s
"""
_WAIT = "SELECT pg_advisory_lock{shared}({arguments}) FROM unnest(%s::{type}[]) AS key"
_RELEASE = "SELECT pg_advisory_unlock({arguments}) FROM unnest(%s::{type}[]) AS key"

Key = int | str
TKey = TypeVar("TKey", int, str)


class KeySpace(NamedTuple):
    """How the keys of locks are made. `arguments` are those of PostgreSQL's lock functions."""

    key_type: str
    arguments: str

    @classmethod
    def of_class(cls, class_id: int) -> KeySpace:
        """Two-part keys. Those of one part cannot collide with them."""
        return cls("int", f"{class_id}, key")

    def acquire(self, *, shared: bool = False) -> bytes:
        """Parameters: the keys, and how many of them at most. Returns the keys that were free."""
        return self._filled(_ACQUIRE, shared=shared)

    def wait(self, *, shared: bool = False) -> bytes:
        return self._filled(_WAIT, shared=shared)

    def release(self) -> bytes:
        return self._filled(_RELEASE)

    def _filled(self, statement: str, *, shared: bool = False) -> bytes:
        parts = {"type": self.key_type, "arguments": self.arguments, "shared": "_shared" * shared}
        return statement.format(**parts).encode()


NUMBERS = KeySpace("bigint", "key")
"""Names whose key the client makes (`lock_key`), and the key of the migrations."""
NAMES = KeySpace("text", "hashtextextended(key, 0)")
"""Names whose key PostgreSQL makes."""


def lock_key(name: str) -> int:
    """The 64-bit key that PostgreSQL uses for the lock `name`."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


def lock_session_dsn(dsn: str) -> str:
    """The DSN for a session that holds locks."""
    options = conninfo_to_dict(dsn).get("options") or ""
    return make_conninfo(dsn, options=f"{options} {SERVER_SETTINGS}".strip())


class LockSession:
    """The session that holds the locks of this process. Several policies use it; a lock has one holder among them.

    A session that is lost is replaced at the next call. Errors are those of psycopg; after an OperationalError the
    session holds no lock.
    """

    def __init__(self, database_url: str, application_name: str = "gridproof locks") -> None:
        self._dsn = lock_session_dsn(database_url)
        self._application_name = application_name
        self._connection: AsyncConnection[tuple[Any, ...]] | None = None
        self._held: set[tuple[KeySpace, Key]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._heartbeat: asyncio.Task[None] | None = None
        self._answered_at = float("-inf")
        """When the newest statement that was answered was sent, by the event loop's clock."""
        self._when_lost: list[Callable[[], None]] = []
        self._returning: asyncio.Task[None] | None = None

    def when_lost(self, notify: Callable[[], None]) -> None:
        """Call `notify` whenever the session, and with it every lock, is lost."""
        self._when_lost.append(notify)

    def holds(self, space: KeySpace, key: Key) -> bool:
        return (space, key) in self._held

    @property
    def patience_s(self) -> float:
        """Seconds until a holder gives up that works on without an answer of PostgreSQL; negative after that."""
        return self._answered_at + GIVE_UP_S - asyncio.get_running_loop().time()

    async def acquire(
        self, space: KeySpace, keys: Iterable[TKey], *, limit: int | None = None, shared: bool = False
    ) -> list[TKey]:
        """Acquire those of `keys` that nobody holds, at most `limit`, and return them. One that this session holds
        already is not acquired again."""
        attempt = asyncio.create_task(self._acquire(space, keys, limit, shared=shared))
        try:
            acquired = await asyncio.shield(attempt)
        except asyncio.CancelledError:
            attempt.add_done_callback(partial(self._give_back, space))
            raise
        return [key for key in acquired if self.holds(space, key)]  # the session may be lost since

    async def release(self, space: KeySpace, keys: Iterable[Key]) -> None:
        """Release those of `keys` that this session holds. A session that is lost has released them."""
        if held := [key for key in keys if self.holds(space, key)]:
            await asyncio.shield(asyncio.create_task(self._release(space, held)))

    async def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await asyncio.shield(asyncio.create_task(self._query(statement, values)))

    async def aclose(self) -> None:
        """Close the session. Whoever still holds a lock has lost it."""
        if self._connection is not None and self._one_at_a_time.locked():
            _cut(self._connection)  # not to wait for an answer
        async with self._one_at_a_time:
            await self._drop()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)

    # The caller of these is not the task that runs them: when it is cancelled they still end. psycopg would cancel the
    # statement instead, wait for PostgreSQL, and leave unknown what it has locked.

    async def _acquire(
        self, space: KeySpace, keys: Iterable[TKey], limit: int | None, *, shared: bool
    ) -> list[TKey]:
        async with self._one_at_a_time:
            free = [key for key in dict.fromkeys(keys) if not self.holds(space, key)]
            if not free:
                return []
            rows = await self._answer(space.acquire(shared=shared), (free, limit))
            acquired: list[TKey] = [key for (key,) in rows]
            self._held.update((space, key) for key in acquired)
        if acquired and (self._heartbeat is None or self._heartbeat.done()):
            self._heartbeat = asyncio.create_task(self._check())
        return acquired

    async def _release(self, space: KeySpace, keys: Iterable[Key]) -> None:
        async with self._one_at_a_time:
            held = [key for key in keys if self.holds(space, key)]
            if held:
                with suppress(psycopg.OperationalError):
                    await self._answer(space.release(), (held,))
                self._held.difference_update((space, key) for key in held)

    async def _query(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        async with self._one_at_a_time:
            return await self._answer(statement.encode(), values)

    def _give_back(self, space: KeySpace, attempt: asyncio.Task[list[TKey]]) -> None:
        """Release what was acquired for a caller that was cancelled."""
        if not attempt.cancelled() and attempt.exception() is None:
            self._returning = asyncio.create_task(self._release(space, attempt.result()))

    async def _check(self) -> None:
        """While the session holds a lock, use it at least every `HEARTBEAT_S`."""
        loop = asyncio.get_running_loop()
        while self._held:
            await asyncio.sleep(max(self._answered_at + HEARTBEAT_S - loop.time(), 0.0))
            if self._held and loop.time() >= self._answered_at + HEARTBEAT_S:
                with suppress(psycopg.OperationalError):  # `_answer` has told the holders
                    await self._query("SELECT 1", ())

    async def _answer(self, statement: bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement. The caller holds `_one_at_a_time`."""
        loop = asyncio.get_running_loop()
        try:
            connection = await self._connected()
            sent_at = loop.time()
            cutting = loop.call_later(ANSWER_WITHIN_S, _cut, connection)
            try:
                rows = await (await connection.execute(statement, values)).fetchall()
            finally:
                cutting.cancel()
        except psycopg.OperationalError as error:
            await self._drop()
            raise psycopg.OperationalError(f"the session that holds the locks: {error}") from error
        self._answered_at = sent_at
        return rows

    async def _connected(self) -> AsyncConnection[tuple[Any, ...]]:
        if self._connection is not None and self._connection.closed:
            await self._drop()
        if self._connection is None:
            self._connection = await open_async_session(self._dsn, self._application_name)
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        for notify in self._when_lost:
            notify()
        if connection is not None:
            await connection.close()


def _cut(connection: AsyncConnection[Any]) -> None:
    """End a connection whose server does not answer; the statement under way fails at once. Its cancellation would
    wait for the server 10 s more."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


def try_lock(connection: Connection[Any], name: str) -> bool:
    """Acquire the lock `name` for as long as the session of `connection` lives, which fences what it writes: a session
    that is lost can write no more. False if another session holds it."""
    return connection.execute(NAMES.acquire(), ([name], 1)).fetchone() is not None


def wait_for_lock(connection: Connection[Any], space: KeySpace, key: Key, *, shared: bool = False) -> None:
    """Wait for the lock, and hold it for as long as the session of `connection` lives."""
    connection.execute(space.wait(shared=shared), ([key],))


def unlock(connection: Connection[Any], name: str) -> None:
    connection.execute(NAMES.release(), ([name],))
