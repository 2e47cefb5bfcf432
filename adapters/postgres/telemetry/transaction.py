"""A connection for one transaction on telemetry, bounded in time, its errors named as the ports name them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from adapters.postgres.wire_format.array_parameters import teach
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable

# A worker that is stopped in mid-transaction must not hold up its successor for ever.
_TIMEOUTS = "SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"

# Cardinality, data, constraint and program-limit errors: the rows themselves are at fault.
_ROWS_AT_FAULT = ("21", "22", "23", "54")

# Per partition: whoever settles its quarter-hours must not miss the news of one who writes at the same time.
_LOCK = "SELECT pg_advisory_xact_lock({lock_class}, {partition});"
_LOCK_CLASS = 0x7E1E


@contextmanager
def _transaction(conn: psycopg.Connection[Any], bounds: str) -> Iterator[None]:
    """Begun by one round trip with its bounds: BEGIN by itself is one more, which psycopg makes of its own accord."""
    read_only = " READ ONLY" if conn.read_only else ""  # only psycopg's own BEGIN says so by itself
    conn.autocommit = True
    try:
        conn.execute(f"BEGIN{read_only}; {bounds}".encode())
        yield
        conn.commit()
    finally:
        with suppress(psycopg.Error):  # what happened in the block is what is told
            conn.rollback()
            conn.autocommit = False


@contextmanager
def telemetry_transaction(
    pool: ConnectionPool[Any], *, partitions: Iterable[int] = (), waits: str = "60s"
) -> Iterator[psycopg.Connection[Any]]:
    """Alone on `partitions`: one writes their readings or settles them. For their locks it waits so long.

    Raises ReadingsRefused where the rows are at fault, TelemetryStoreUnavailable for anything else."""
    try:
        with pool.connection() as conn:
            teach(conn)
            # In order, so that no two wait for each other.
            locked = "".join(
                _LOCK.format(lock_class=_LOCK_CLASS, partition=int(one)) for one in sorted(set(partitions))
            )
            bounds = f"{_TIMEOUTS}; SET LOCAL lock_timeout = '{waits}'; {locked}"
            with _transaction(conn, bounds):
                yield conn
    except psycopg.Error as error:
        state = error.sqlstate or ""
        # A value that cannot even be sent (NUL in a text) fails in the client, without a state.
        if state[:2] in _ROWS_AT_FAULT or (not state and isinstance(error, psycopg.DataError)):
            raise ReadingsRefused(f"{type(error).__name__}: {error}") from error
        raise TelemetryStoreUnavailable(f"PostgreSQL: {type(error).__name__}: {error}") from error
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise TelemetryStoreUnavailable(f"no database connection: {error}") from error
