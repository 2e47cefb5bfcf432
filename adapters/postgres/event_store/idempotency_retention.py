"""Deletion of old idempotency keys, by a function of the owner: the application's role can delete none."""

from datetime import timedelta
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, transaction
from application.ports.event_store.event_store import EventStoreUnavailable

_ERRORS = PortErrors(EventStoreUnavailable, "the event store")


class PostgresIdempotencyRetention:
    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def drop(self, kept: timedelta, *, most: int) -> int:
        with transaction(self._pool, _ERRORS) as connection:
            row = connection.execute(
                "SELECT gridproof.drop_idempotency_keys(%s, %s)", (kept, most)
            ).fetchone()
        return int(row[0]) if row else 0
