"""A persistent connection of the event store, opened again when the server has closed it."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection
from psycopg.pq.abc import PGresult

from adapters.postgres.connection.pipeline import Call, PipelinedStatements
from adapters.postgres.connection.pool import check_idle
from adapters.postgres.connection.session import open_session, with_release

STATEMENT_TIMEOUT_S = 10
TRANSACTION_TIMEOUT_S = 15
TCP_USER_TIMEOUT_MS = 20_000
INDEX_LOOKUP_OPTIONS = "".join(
    f" -c {setting}=off" for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
)
"""Planner settings of these connections, which only look up rows by key. A prepared statement that was
planned while a table was small, or not yet analysed, would scan the whole table, and would keep this plan
while the table grows: 3 ms at 5,000 domain events."""


class DedicatedSession(NamedTuple):
    """The current connection and what belongs to it."""

    connection: Connection[tuple[Any, ...]]
    statements: PipelinedStatements
    name: str
    """The connection's `application_name` as the server shows it, which is unique."""


class DedicatedConnection:
    """A connection to the database of `dsn` for one purpose. `run` may be called by several threads, everything else
    by one at a time."""

    def __init__(
        self,
        dsn: str,
        purpose: str,
        statements: Mapping[bytes, bytes] | None = None,
        *,
        lock_timeout_s: int = 5,
    ) -> None:
        self._lock_timeout_s = lock_timeout_s
        self._dsn = dsn
        self._purpose = purpose
        self._statements = dict(statements or {})
        self._session: DedicatedSession | None = None
        self._one_at_a_time = threading.RLock()

    def add(self, statements: Mapping[bytes, bytes]) -> None:
        """Add statements: name -> SQL with `$1`. Each is prepared at its first use."""
        self._statements.update(statements)

    def run(self, *calls: Call, turn_within_s: float | None = None) -> list[PGresult]:
        """Run the calls in one round trip. After an error the connection is closed, since it may be in a transaction.
        `turn_within_s`: the longest wait for other threads. Raises psycopg.Error."""
        if not self._one_at_a_time.acquire(timeout=-1 if turn_within_s is None else turn_within_s):
            raise psycopg.OperationalError(f"the connection was busy for {turn_within_s:g} s")
        try:
            return self.session().statements.run(*calls)
        except BaseException:
            self.close()
            raise
        finally:
            self._one_at_a_time.release()

    def session(self) -> DedicatedSession:
        """The current session, opened if necessary. Raises psycopg.Error; nothing was sent in that case."""
        if self._session is not None and _is_unusable(self._session.connection):
            self.close()
        if self._session is None:
            self._session = self._connect()
        return self._session

    def close(self) -> None:
        """Close the connection. Idempotent; the next use opens it again."""
        with self._one_at_a_time:
            session, self._session = self._session, None
            if session is not None:
                with contextlib.suppress(psycopg.Error):  # the connection is discarded in any case
                    session.connection.close()

    def _connect(self) -> DedicatedSession:
        name = f"gridproof {self._purpose} {secrets.token_hex(8)}"
        connection = open_session(
            self._dsn,
            name,
            keepalives_idle=10,
            tcp_user_timeout=TCP_USER_TIMEOUT_MS,
            options=f"-c lock_timeout={self._lock_timeout_s}s -c statement_timeout={STATEMENT_TIMEOUT_S}s"
            f" -c transaction_timeout={TRANSACTION_TIMEOUT_S}s -c idle_in_transaction_session_timeout=10s"
            f"{INDEX_LOOKUP_OPTIONS}",
        )
        try:
            statements = PipelinedStatements(connection, self._statements)
            return DedicatedSession(connection, statements, with_release(name))
        except BaseException:
            connection.close()
            raise


def _is_unusable(connection: Connection[tuple[Any, ...]]) -> bool:
    """Was the connection closed by the server, or left in a transaction by an interrupted thread?"""
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return True
    try:
        check_idle(connection)
    except psycopg.OperationalError:
        return True
    return False
