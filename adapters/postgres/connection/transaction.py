"""Transactions and single statements on a pooled connection, with time-outs and the translation of PostgreSQL's errors
into those that a port declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from application.ports.operations.unavailable import OperationsUnavailable

Connection = psycopg.Connection[Any]

TIMEOUT_S = 60
"""For a statement of a transaction on a pool that sets no limit, and for the pause between two."""
CONNECTION_ERRORS = (
    psycopg.OperationalError,  # also those of the pool
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
)
RETRY_ADVICE = "; see `gridproof doctor`, then try again"
_ROWS_AT_FAULT = ("21", "22", "23", "54")
"""Cardinality, data, constraint and program-limit errors: the rows are invalid."""


@dataclass(frozen=True)
class PortErrors:
    """The errors of a port, for those of PostgreSQL."""

    unavailable: Callable[[str], Exception]
    """For a connection that failed or was lost; with `refused`, for every other error too."""
    what: str = "PostgreSQL"
    """Did not answer, as the message says."""
    advice: str = ""
    refused: Callable[[str], Exception] | None = None
    """For rows that PostgreSQL refuses; None: its own error."""

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise PostgreSQL's errors of the block as those of the port."""
        try:
            yield
        except psycopg.Error as error:
            text = f"{type(error).__name__}: {error}"
            if self.refused is not None and _is_of_rows(error):
                raise self.refused(text) from error
            if self.refused is not None:
                raise self.unavailable(f"{self.what}: {text}") from error
            if isinstance(error, CONNECTION_ERRORS):
                raise self.unavailable(f"{self.what} did not answer: {error}{self.advice}") from error
            raise


OPERATIONS = PortErrors(OperationsUnavailable, advice=RETRY_ADVICE)


@contextmanager
def transaction(
    pool: ConnectionPool[Any],
    errors: PortErrors = OPERATIONS,
    *,
    begin_with: str = "",
    within_s: float | None = None,
) -> Iterator[Connection]:
    """A connection of `pool`, with one transaction for the block. `begin_with` are more statements for its first round
    trip. `within_s`: the longest wait for a connection. Raises the port's errors."""
    with errors.translated(), pool.connection(timeout=within_s) as connection:
        own_timeout = "" if getattr(pool, "answer_within_s", None) else _limit("statement_timeout")
        read_only = " READ ONLY" if connection.read_only else ""  # psycopg adds this only to its own BEGIN
        limits = f"{own_timeout}{_limit('idle_in_transaction_session_timeout')}"
        connection.autocommit = True
        try:
            # In one round trip; psycopg's own BEGIN would be another one.
            connection.execute(f"BEGIN{read_only}; {limits}{begin_with}".encode())
            yield connection
            connection.commit()
        finally:
            with suppress(psycopg.Error):  # the error of the block is the one to report
                connection.rollback()
                connection.autocommit = False


@contextmanager
def autocommit_connection(pool: ConnectionPool[Any], errors: PortErrors) -> Iterator[Connection]:
    """A pooled connection in autocommit mode, for reads: BEGIN and COMMIT would add two round trips. Two
    statements in the block may see different states. Raises the port's errors."""
    with errors.translated(), pool.connection() as connection:
        connection.autocommit = True
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False


def _limit(setting: str) -> str:
    return f"SET LOCAL {setting} = '{TIMEOUT_S}s'; "


def _is_of_rows(error: psycopg.Error) -> bool:
    """A value that cannot be sent (NUL in a text) fails in the client, without an SQLSTATE."""
    state = error.sqlstate or ""
    return state[:2] in _ROWS_AT_FAULT or (not state and isinstance(error, psycopg.DataError))
