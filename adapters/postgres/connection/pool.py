"""A pool that is back soon after its server is.

The library's own pauses double up to minutes while a server is away: after a stop of ten minutes it may be two more
before somebody looks again. And between two connections that died while they were idle, as all do when a server is
restarted, its check waits a second, then two, then four.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool
from psycopg_pool.base import AttemptWithBackoff

from adapters.postgres.connection.idle_connection import check_idle

TRY_AGAIN_S = 0.5


class ConstantBackoff(AttemptWithBackoff):
    INITIAL_DELAY = TRY_AGAIN_S
    DELAY_BACKOFF = 1.0


class FastReconnectPool(ConnectionPool[Any]):
    """Each of its connections is tried for again every half second, however long the server is away; one that died
    while it was idle is replaced, not handed out."""

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection: psycopg.Connection[Any] = super().getconn(max(0.0, deadline - time.monotonic()))
            try:
                check_idle(connection)
            except psycopg.OperationalError:
                self.putconn(connection)  # it is closed: another is made in its place
            else:
                return connection

    def _add_connection(self, attempt: AttemptWithBackoff | None, growing: bool = False) -> None:
        super()._add_connection(attempt or ConstantBackoff(timeout=float("inf")), growing=growing)
