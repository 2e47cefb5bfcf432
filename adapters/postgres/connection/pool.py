"""Connection pool that reconnects within half a second and replaces dead idle connections.

The library's own back-off doubles up to minutes while a server is away: after an outage of ten minutes it may
wait two more before it tries again. Its connection check is a round trip before every use, which costs more
than many queries. After a restart of the server, when every idle connection is dead, the check also waits one
second, then two, then four between two connections.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool
from psycopg_pool.base import AttemptWithBackoff

RECONNECT_EVERY_S = 0.5


class ConstantBackoff(AttemptWithBackoff):
    INITIAL_DELAY = RECONNECT_EVERY_S
    DELAY_BACKOFF = 1.0


class FastReconnectPool(ConnectionPool[Any]):
    """A pool that tries to reconnect every half second, however long the server is away. A connection that
    died while it was idle is replaced before it is handed out."""

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection: psycopg.Connection[Any] = super().getconn(max(0.0, deadline - time.monotonic()))
            try:
                check_idle(connection)
            except psycopg.OperationalError:
                self.putconn(connection)  # it is closed, so the pool opens another one
            else:
                return connection

    def _add_connection(self, attempt: AttemptWithBackoff | None, growing: bool = False) -> None:
        super()._add_connection(attempt or ConstantBackoff(timeout=float("inf")), growing=growing)


@contextmanager
def autocommit_connection(pool: ConnectionPool[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A pooled connection in autocommit mode, for reads: BEGIN and COMMIT would add two round trips. Two
    statements in the block may see different states."""
    with pool.connection() as connection:
        connection.autocommit = True
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False


def check_idle(connection: Connection[Any]) -> None:
    """Check without a round trip that an idle connection is alive. Raises OperationalError if the server or a
    proxy has closed it.

    The only data that can arrive on an idle connection is the server's message that it closes it. A server
    that disappeared without a message is detected by time-outs when the connection is used.
    """
    if connection.closed or _is_readable(connection):
        connection.close()  # otherwise the pool would take it back and hand it out again
        raise psycopg.OperationalError("the server closed the connection while it was idle")


def _is_readable(connection: Connection[Any]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
