"""LogSession: the database session of one follower of a log. It holds the follower's lock and hears of new entries."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from adapters.postgres.connection.session import open_session
from adapters.postgres.coordination.session_locks import lock_session_dsn, try_lock
from application.command_bus.retry import Stopped

Connection = psycopg.Connection[tuple[Any, ...]]

_LOCK_RETRY_S = 0.2


class LogSession:
    """Everything that `connection` writes is written under the lock: PostgreSQL releases it with the session."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def wait(self, timeout_s: float) -> None:
        """Return at the next entry, or after `timeout_s` wall seconds."""
        for _ in self.connection.notifies(timeout=timeout_s, stop_after=1):
            pass


@contextmanager
def log_session(
    dsn: str,
    name: str,
    tables: Iterable[str],
    stop: threading.Event | None = None,
    *,
    holder: str | None = None,
) -> Iterator[LogSession]:
    """Wait for the lock `name`, and listen for new entries of `tables`. Raises Stopped if `stop` is set first.

    `holder` identifies the process in the name of the session.
    """
    with connect(dsn, name if holder is None else f"{name}/{holder}") as connection:
        _acquire(connection, name, stop or threading.Event())
        for table in tables:
            connection.execute(f"LISTEN {table}")
        yield LogSession(connection)


def connect(dsn: str, name: str) -> Connection:
    """A connection that notices within a quarter of a minute that its server is gone."""
    return open_session(
        lock_session_dsn(dsn), name, keepalives_idle=5, keepalives_interval=2, keepalives_count=3
    )


def _acquire(connection: Connection, name: str, stop: threading.Event) -> None:
    while not stop.is_set():
        if try_lock(connection, name):
            return
        stop.wait(_LOCK_RETRY_S)
    raise Stopped
