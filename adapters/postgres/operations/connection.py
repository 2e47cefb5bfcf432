"""Connections for the operations tables, with their error translation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.errors import RETRY_ADVICE, translate_errors
from application.ports.operations.unavailable import OperationsUnavailable


@contextmanager
def operations_connection(pool: ConnectionPool[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection of `pool`, with one transaction for the block. Raises OperationsUnavailable."""
    with (
        translate_errors(OperationsUnavailable, "PostgreSQL", advice=RETRY_ADVICE),
        pool.connection() as connection,
    ):
        yield connection


def storable(text: str) -> str:
    """`text` with NUL characters escaped, which PostgreSQL cannot store."""
    return text.replace("\0", "\\0")
