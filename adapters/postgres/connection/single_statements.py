"""Reading with statements that are each a transaction of their own: BEGIN and COMMIT are two round trips more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool


@contextmanager
def single_statements(pool: ConnectionPool[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection of `pool`, which others get back as it was. Two statements on it may see two states."""
    with pool.connection() as connection:
        connection.autocommit = True
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False
