"""Transactions on telemetry, with time-outs and translation of errors into those of the ports."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from adapters.postgres.wire_format.array_parameters import teach
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable

# A worker that is stopped in a transaction must not block its successor for ever.
_TIMEOUTS = "SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"

# Cardinality, data, constraint and program-limit errors: the rows are invalid.
_ROWS_AT_FAULT = ("21", "22", "23", "54")

# One lock per partition: finalization must not miss the marks of a concurrent writer.
_LOCK = "SELECT pg_advisory_xact_lock({lock_class}, {partition});"
_LOCK_CLASS = 0x7E1E


@contextmanager
def _transaction(conn: psycopg.Connection[Any], bounds: str) -> Iterator[None]:
    """Begin the transaction together with its settings in one round trip; psycopg's own BEGIN would be
    another one."""
    read_only = " READ ONLY" if conn.read_only else ""  # psycopg adds this only to its own BEGIN
    conn.autocommit = True
    try:
        conn.execute(f"BEGIN{read_only}; {bounds}".encode())
        yield
        conn.commit()
    finally:
        with suppress(psycopg.Error):  # the error of the block is the one to report
            conn.rollback()
            conn.autocommit = False


@contextmanager
def telemetry_transaction(
    pool: ConnectionPool[Any],
    timer: AbstractContextManager[None] | None = None,
    *,
    partitions: Iterable[int] = (),
    waits: str = "60s",
) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that holds the locks of `partitions`: one writes their readings or finalizes them. It
    waits at most `waits` for each lock. `timer` observes it (`TelemetryHealth.timed`).

    Raises ReadingsRefused if the rows are invalid, TelemetryStoreUnavailable for other errors.
    """
    try:
        with timer or nullcontext(), pool.connection() as conn:
            teach(conn)
            # In order, so that two transactions cannot deadlock.
            locked = "".join(
                _LOCK.format(lock_class=_LOCK_CLASS, partition=int(one)) for one in sorted(set(partitions))
            )
            bounds = f"{_TIMEOUTS}; SET LOCAL lock_timeout = '{waits}'; {locked}"
            with _transaction(conn, bounds):
                yield conn
    except psycopg.Error as error:
        state = error.sqlstate or ""
        # A value that cannot be sent (NUL in a text) fails in the client, without an SQLSTATE.
        if state[:2] in _ROWS_AT_FAULT or (not state and isinstance(error, psycopg.DataError)):
            raise ReadingsRefused(f"{type(error).__name__}: {error}") from error
        raise TelemetryStoreUnavailable(f"PostgreSQL: {type(error).__name__}: {error}") from error
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise TelemetryStoreUnavailable(f"no database connection: {error}") from error
