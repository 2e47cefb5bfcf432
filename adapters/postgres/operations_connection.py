"""How the registers of operations reach PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from application.ports.operations import OperationsUnavailable


@contextmanager
def operations_connection(pool: ConnectionPool[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection of `pool`, whose transaction ends with the block. Raises OperationsUnavailable."""
    try:
        with pool.connection() as connection:
            yield connection
    except (psycopg.OperationalError, PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise OperationsUnavailable(
            f"PostgreSQL did not answer: {error}; see `gridproof doctor`, then try again"
        ) from error


def storable(text: str) -> str:
    """`text` as PostgreSQL can hold it: a NUL is written out."""
    return text.replace("\0", "\\0")
