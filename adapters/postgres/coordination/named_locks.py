"""Named locks, whose holders are stopped when the session of the locks is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import psycopg

from adapters.postgres.coordination.session_locks import NUMBERS, LockSession, lock_key
from application.async_batcher import AsyncBatcher
from application.ports.coordination.locks import LockLost

POLL_S = 0.05


class AdvisoryLocks:
    """Locks. Requests of the same moment are sent in one round trip, and so are releases. Retries every 50 ms.

    If the session is lost, the blocks that run under its locks are cancelled.
    """

    def __init__(self, session: LockSession) -> None:
        self._session = session
        session.when_lost(self._stop_holders)
        self._busy: set[str] = set()
        """Names that are held, requested, or being released."""
        self._requests = AsyncBatcher(self._acquire)
        self._releases = AsyncBatcher(self._release)
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
        await self._releases.get(name)

    async def _try_acquire(self, name: str) -> bool:
        if name in self._busy:  # by another task of this process
            return False
        self._busy.add(name)
        request = self._requests.put(name)
        try:
            is_granted = await asyncio.shield(request)
        except asyncio.CancelledError:
            request.add_done_callback(partial(self._hand_back, name))
            raise
        except BaseException:
            self._busy.discard(name)
            raise
        if not is_granted:
            self._busy.discard(name)
        return is_granted

    def _hand_back(self, name: str, request: asyncio.Future[bool]) -> None:
        """The task that requested the lock was cancelled."""
        if not request.cancelled() and request.exception() is None and request.result():
            self._releases.put(name)
        else:
            self._busy.discard(name)

    async def _acquire(self, names: Sequence[str]) -> list[bool]:
        try:
            acquired = set(await self._session.acquire(NUMBERS, map(lock_key, names)))
        except psycopg.OperationalError:  # the next attempt reconnects
            acquired = set()
        return [lock_key(name) in acquired for name in names]

    async def _release(self, names: Sequence[str]) -> list[None]:
        try:
            await self._session.release(NUMBERS, map(lock_key, names))
        finally:
            self._busy.difference_update(names)
        return [None] * len(names)
