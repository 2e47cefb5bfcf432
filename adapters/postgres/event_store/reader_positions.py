"""Positions of log readers, in PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from application.ports.event_store.event_store import EventStoreUnavailable

_FIND = "SELECT position FROM gridproof.reader_positions WHERE reader = %s"
_MOVE = """
INSERT INTO gridproof.reader_positions AS known (reader, position) VALUES (%s, %s)
ON CONFLICT (reader) DO UPDATE
    SET position = greatest(known.position, excluded.position), moved_at = now()
"""


class PostgresReaderPositions:
    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def position(self, reader: str) -> int:
        with self._connection() as connection:
            row = connection.execute(_FIND, (reader,)).fetchone()
        return int(row[0]) if row else 0

    def move(self, reader: str, position: int) -> None:
        with self._connection() as connection:
            connection.execute(_MOVE, (reader, position))

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise EventStoreUnavailable(f"the readers' positions cannot be reached: {error}") from error
