"""A pool that is back soon after its server is.

The library's own pauses double up to minutes while a server is away: after a stop of ten minutes it may be two more
before somebody looks again. And between two connections that died while they were idle, as all do when a server is
restarted, its check waits a second, then two, then four.
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


@contextmanager
def autocommit_connection(pool: ConnectionPool[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection of `pool`, which others get back as it was. Two statements on it may see two states."""
    with pool.connection() as connection:
        connection.autocommit = True
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False


def check_idle(connection: Connection[Any]) -> None:
    """For a pool's `check`. Raises OperationalError where the server, or what is between, has closed the connection.

    What is to be read on an idle connection is the server's farewell. One that vanished without a word is found by its
    time-outs when it is used.
    """
    if connection.closed or _is_readable(connection):
        connection.close()  # else the pool takes it back as a good one, and hands it out again
        raise psycopg.OperationalError("the server closed the connection while it was idle")


def _is_readable(connection: Connection[Any]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
