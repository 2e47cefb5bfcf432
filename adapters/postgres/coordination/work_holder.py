"""The number by which this process holds rows of open work: a session lock, so it dies with the process."""

from __future__ import annotations

from secrets import randbelow

import psycopg

from adapters.postgres.coordination.session_locks import KeySpace, LockSession
from application.ports.dispatch.open_work import OpenWorkUnavailable

WORK_CLASS = 0x776F726B
WORK_HOLDERS = KeySpace.of_class(WORK_CLASS)
_NUMBERS = 2**31 - 1
"""Drawn at random, so that no two processes of different times have the same."""


class PostgresWorkHolder:
    """WorkHolder. `session` is the one of the process's locks."""

    def __init__(self, session: LockSession) -> None:
        self._session = session
        self._number: int | None = None

    async def number(self) -> int:
        while self._number is None or not self._session.holds(WORK_HOLDERS, self._number):
            try:
                acquired = await self._session.acquire(WORK_HOLDERS, [1 + randbelow(_NUMBERS)])
            except psycopg.OperationalError as error:
                raise OpenWorkUnavailable(f"no lock to hold work by: {error}") from error
            self._number = acquired[0] if acquired else None
        return self._number
