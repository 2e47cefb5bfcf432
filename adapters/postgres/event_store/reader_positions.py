"""Positions of log readers, in PostgreSQL."""

from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, transaction
from application.ports.event_store.event_store import EventStoreUnavailable

_FIND = "SELECT position FROM gridproof.reader_positions WHERE reader = %s"
_MOVE = """
INSERT INTO gridproof.reader_positions AS known (reader, position) VALUES (%s, %s)
ON CONFLICT (reader) DO UPDATE
    SET position = greatest(known.position, excluded.position), moved_at = now()
"""

_ERRORS = PortErrors(EventStoreUnavailable, "the store of readers' positions")


class PostgresReaderPositions:
    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def position(self, reader: str) -> int:
        with transaction(self._pool, _ERRORS) as connection:
            row = connection.execute(_FIND, (reader,)).fetchone()
        return int(row[0]) if row else 0

    def move(self, reader: str, position: int) -> None:
        with transaction(self._pool, _ERRORS) as connection:
            connection.execute(_MOVE, (reader, position))
