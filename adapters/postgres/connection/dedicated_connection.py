"""One connection for one purpose, kept open, and made anew where the server has closed it since."""

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
"""These connections look rows up by key and nothing else. A prepared statement that is planned while a table is small,
or was never analysed, reads it from end to end, and goes on so while the table grows: 3 ms at 5,000 domain events."""


class Session(NamedTuple):
    """A connection as it is now."""

    connection: Connection[tuple[Any, ...]]
    statements: PipelinedStatements
    name: str
    """Its `application_name`: no other session has it."""


class DedicatedConnection:
    """Reaches the database of a datastore of eventsourcing; not for two threads at once."""

    def __init__(self, datastore: PostgresDatastore, purpose: str, statements: Mapping[bytes, bytes]) -> None:
        self._datastore = datastore
        self._purpose = purpose
        self._statements = statements
        self._session: Session | None = None

    def session(self) -> Session:
        """Raises psycopg.Error; nothing was sent then."""
        if self._session is not None and _is_unusable(self._session.connection):
            self.close()
        if self._session is None:
            self._session = self._connect()
        return self._session

    def close(self) -> None:
        """Idempotent; the next use connects again."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(psycopg.Error):  # it is gone either way
                session.connection.close()

    def _connect(self) -> Session:
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
            return Session(connection, PipelinedStatements(connection, self._statements), name)
        except BaseException:
            connection.close()
            raise


def _is_unusable(connection: Connection[tuple[Any, ...]]) -> bool:
    """By the server, or left in the middle of something by a thread that was interrupted."""
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return True
    try:
        check_idle(connection)
    except psycopg.OperationalError:
        return True
    return False
