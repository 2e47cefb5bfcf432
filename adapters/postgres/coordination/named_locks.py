"""Named locks, whose holders are stopped when the session of the locks is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg

from adapters.postgres.coordination.session_locks import NUMBERS, LockSession, lock_key
from application.ports.coordination.locks import LockLost

POLL_S = 0.05


class AdvisoryLocks:
    """Locks. Requests and releases of the same moment are sent in one round trip. Retries every 50 ms.

    If the session is lost, the blocks that run under its locks are cancelled.
    """

    def __init__(self, session: LockSession) -> None:
        self._session = session
        session.when_lost(self._stop_holders)
        self._busy: set[str] = set()
        """Names that are held, requested, or being released."""
        self._requests: list[tuple[str, asyncio.Future[bool]]] = []
        self._releases: list[tuple[str, asyncio.Future[None]]] = []
        self._exchange: asyncio.Task[None] | None = None
        self._scopes: dict[str, asyncio.Timeout] = {}

    @asynccontextmanager
    async def held(
        self, name: str, *, while_waiting: Callable[[], object] | None = None
    ) -> AsyncIterator[None]:
        while not await self._try_acquire(name):
            if while_waiting is not None:
                while_waiting()
            await asyncio.sleep(POLL_S)
        scope = asyncio.timeout(None)  # rescheduled to now when the session is lost
        try:
            async with scope:
                self._register(name, scope)
                yield
        except TimeoutError as error:
            if scope.expired():
                raise LockLost(f"the database session that held the lock {name!r} was lost") from error
            raise
        finally:
            await self._unlock(name)

    async def aclose(self) -> None:
        """Close the session. Tasks that still hold a lock have lost it."""
        await self._session.aclose()

    def _register(self, name: str, scope: asyncio.Timeout) -> None:
        if self._session.holds(NUMBERS, lock_key(name)):
            self._scopes[name] = scope
        else:  # lost since it was acquired
            scope.reschedule(asyncio.get_running_loop().time())

    def _stop_holders(self) -> None:
        now = asyncio.get_running_loop().time()
        for scope in self._scopes.values():
            scope.reschedule(now)
        self._scopes.clear()

    async def _unlock(self, name: str) -> None:
        if self._scopes.pop(name, None) is None:  # the session is gone and has released it already
            self._busy.discard(name)
            return
        await self._release_soon(name)

    def _release_soon(self, name: str) -> asyncio.Future[None]:
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._releases.append((name, released))
        self._exchange_soon()
        return released

    async def _try_acquire(self, name: str) -> bool:
        if name in self._busy:  # by another task of this process
            return False
        self._busy.add(name)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._requests.append((name, future))
        self._exchange_soon()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result():
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
        with _raised_in(releases):
            await self._session.release(NUMBERS, [lock_key(name) for name, _ in releases])
        for name, future in releases:
            self._busy.discard(name)
            if not future.done():
                future.set_result(None)

    async def _acquire(self) -> None:
        requests, self._requests = self._requests, []
        if not requests:
            return
        acquired: set[int] = set()
        with _raised_in(requests), suppress(psycopg.OperationalError):  # the next attempt reconnects
            acquired = set(await self._session.acquire(NUMBERS, [lock_key(name) for name, _ in requests]))
        for name, future in requests:
            is_granted = lock_key(name) in acquired
            if not is_granted:
                self._busy.discard(name)
            if not future.done():
                future.set_result(is_granted)
            elif is_granted:  # the requesting task was cancelled meanwhile
                self._release_soon(name)


@contextmanager
def _raised_in(requests: Sequence[tuple[str, asyncio.Future[Any]]]) -> Iterator[None]:
    """Raise an error of the block in each task that waits for one of `requests`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - nothing is lost: it is raised there
        for _, future in requests:
            if not future.done():
                future.set_exception(error)
