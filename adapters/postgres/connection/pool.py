"""Connection pool that reconnects within half a second, replaces dead idle connections, and may set a deadline on
each answer.

The library's own back-off doubles up to minutes while a server is away: after an outage of ten minutes it may
wait two more before it tries again. Its connection check is a round trip before every use, which costs more
than many queries. After a restart of the server, when every idle connection is dead, the check also waits one
second, then two, then four between two connections.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout
from psycopg_pool.base import AttemptWithBackoff

from adapters.postgres.connection.dsn import with_statement_timeout
from adapters.postgres.connection.session import Session
from adapters.postgres.connection.timeline import OlderTimeline, UnknownCluster

RECONNECT_EVERY_S = 0.5
MARGIN_S = 1.0
"""Added to the server's statement time-out. A server that still works ends the statement itself, and the
connection stays usable."""


class ConstantBackoff(AttemptWithBackoff):
    INITIAL_DELAY = RECONNECT_EVERY_S
    DELAY_BACKOFF = 1.0


class PostgresPool(ConnectionPool[Any]):
    """A pool that tries to reconnect every half second, however long the server is away. A connection that
    died while it was idle is replaced before it is handed out."""

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str = "gridproof pool",
        answer_within_s: int | None = None,
        **options: Any,
    ) -> None:
        """`answer_within_s`: the longest statement, whatever the DSN says; the server ends a longer one, and a
        second later the client closes the connection. `options` are those of ConnectionPool."""
        self.answer_within_s = answer_within_s
        self._refused: OlderTimeline | UnknownCluster | None = None
        """Why the last attempt to connect was refused; None if it was not."""
        if answer_within_s is not None:
            dsn = with_statement_timeout(dsn, answer_within_s)
            options["configure"] = _deadline_setter(answer_within_s + MARGIN_S)
        kwargs = {"application_name": application_name}
        super().__init__(dsn, connection_class=Session, kwargs=kwargs, **options)

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            with self._naming_refusal():
                connection: psycopg.Connection[Any] = super().getconn(max(0.0, deadline - time.monotonic()))
            try:
                check_idle(connection)
            except psycopg.OperationalError:
                self.putconn(connection)  # it is closed, so the pool opens another one
            else:
                return connection

    def wait(self, timeout: float = 30.0) -> None:
        with self._naming_refusal():
            super().wait(timeout)

    @contextmanager
    def _naming_refusal(self) -> Iterator[None]:
        """Raise what the server was refused for in place of PoolTimeout, since it explains more."""
        try:
            yield
        except PoolTimeout as timeout:
            refused = self._refused  # another thread may connect meanwhile
            if refused is None:
                raise
            raise type(refused)(str(refused)) from timeout

    def _connect(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        try:
            connection: psycopg.Connection[Any] = super()._connect(timeout)
        except psycopg.Error as error:
            self._refused = error if isinstance(error, OlderTimeline | UnknownCluster) else None
            raise
        self._refused = None
        return connection

    def _add_connection(self, attempt: AttemptWithBackoff | None, growing: bool = False) -> None:
        super()._add_connection(attempt or ConstantBackoff(timeout=float("inf")), growing=growing)


def _deadline_setter(within_s: float) -> Callable[[Session], None]:
    """Not a method of the pool, which would then refer to itself and be closed by the garbage collector in any
    thread."""

    def configure(session: Session) -> None:
        session.answer_within_s = within_s

    return configure


def check_idle(connection: Connection[Any]) -> None:
    """Check without a round trip that an idle connection is alive, and that its server was not replaced. Raises
    OperationalError if the server or a proxy has closed it.

    The only data that can arrive on an idle connection is the server's message that it closes it. A server
    that disappeared without a message is detected by time-outs when the connection is used.
    """
    if connection.closed or _is_readable(connection):
        connection.close()  # otherwise the pool would take it back and hand it out again
        raise psycopg.OperationalError("the server closed the connection while it was idle")
    if isinstance(connection, Session) and connection.is_superseded:
        connection.close()
        raise psycopg.OperationalError("the server of the connection was replaced")


def _is_readable(connection: Connection[Any]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
