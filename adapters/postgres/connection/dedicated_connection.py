"""A persistent connection for one purpose, opened again when the server has closed it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg import Connection
from psycopg.rows import tuple_row

from adapters.postgres.connection.pipeline import PipelinedStatements
from adapters.postgres.connection.pool import check_idle

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
    """The connection's `application_name`, which is unique."""


class DedicatedConnection:
    """A connection to the database of an eventsourcing datastore. Not safe for use by two threads at once."""

    def __init__(self, datastore: PostgresDatastore, purpose: str, statements: Mapping[bytes, bytes]) -> None:
        self._datastore = datastore
        self._purpose = purpose
        self._statements = statements
        self._session: DedicatedSession | None = None

    def session(self) -> DedicatedSession:
        """The current session, opened if necessary. Raises psycopg.Error; nothing was sent in that case."""
        if self._session is not None and _is_unusable(self._session.connection):
            self.close()
        if self._session is None:
            self._session = self._connect()
        return self._session

    def close(self) -> None:
        """Close the connection. Idempotent; the next use opens it again."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(psycopg.Error):  # the connection is discarded in any case
                session.connection.close()

    def _connect(self) -> DedicatedSession:
        pool, lock_timeout_s = self._datastore.pool, self._datastore.lock_timeout or 5
        name = f"gridproof {self._purpose} {secrets.token_hex(8)}"
        parameters = dict(pool.kwargs) if isinstance(pool.kwargs, dict) else {}
        if pool.get_password_func is not None:
            parameters["password"] = pool.get_password_func()
        parameters |= {
            "row_factory": tuple_row,
            "autocommit": True,
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
            "application_name": name,
            "options": f"-c lock_timeout={lock_timeout_s}s -c statement_timeout={STATEMENT_TIMEOUT_S}s"
            f" -c transaction_timeout={TRANSACTION_TIMEOUT_S}s -c idle_in_transaction_session_timeout=10s"
            f"{INDEX_LOOKUP_OPTIONS}",
        }
        connection = psycopg.connect(pool.conninfo if isinstance(pool.conninfo, str) else "", **parameters)
        try:
            return DedicatedSession(connection, PipelinedStatements(connection, self._statements), name)
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
