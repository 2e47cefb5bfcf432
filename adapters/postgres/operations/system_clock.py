"""The database's clock, and the clock that the system was first started with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.operations.system_clock import ClockDefinition
from application.ports.operations.unavailable import OperationsUnavailable

WITHIN_S = 2.0
"""For a connection to ask for the time, and then for the answer."""
_TIME = f"SET LOCAL statement_timeout = '{WITHIN_S:.0f}s'; SELECT clock_timestamp()".encode()
_STORED = "SELECT epoch, started_at, speed FROM gridproof.system_clock"
_STORE = """
INSERT INTO gridproof.system_clock (epoch, started_at, speed) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""


class PostgresSystemClock:
    """`pool` connects as the application's role, which can store the clock once and never change it."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def database_time(self) -> datetime:
        """The time of the database's clock. Raises OperationsUnavailable."""
        with transaction(self._pool, within_s=WITHIN_S) as connection:
            asked = connection.execute(_TIME)
            asked.nextset()
            row = asked.fetchone()
        if row is None:
            raise OperationsUnavailable("PostgreSQL did not say what time it is")
        return _utc(row[0])

    def stored(self) -> ClockDefinition | None:
        """None before the first start. Raises OperationsUnavailable."""
        try:
            with transaction(self._pool) as connection:
                row = connection.execute(_STORED).fetchone()
        except psycopg.errors.UndefinedTable:
            return None  # the database is not migrated to this release yet
        if row is None:
            return None
        epoch, started_at, speed = row
        return ClockDefinition(
            epoch=None if epoch is None else _utc(epoch),
            started_at=None if started_at is None else _utc(started_at),
            speed=speed,
        )

    def store_first(self, clock: ClockDefinition) -> None:
        """Store the clock, unless one is stored. Raises OperationsUnavailable."""
        with transaction(self._pool) as connection:
            connection.execute(_STORE, (clock.epoch, clock.started_at, clock.speed))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
