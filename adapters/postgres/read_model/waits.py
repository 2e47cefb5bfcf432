"""Wait for a projection to reach a position. Runners announce their positions after each commit."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from projections.engine.waits import ReadModelBehind
from projections.queries.views import ReadModelsUnavailable

Connection = psycopg.Connection[tuple[Any, ...]]

CHANNEL = "projection_positions"
_ANNOUNCE = "SELECT pg_notify(%s, %s)"
_READ = "SELECT position FROM gridproof.projection_positions WHERE name = %s"


def announce(connection: Connection, projection: str, position: int) -> None:
    """Notify in a separate transaction that does not wait for the disk, because NOTIFY holds a lock that
    saves need too."""
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute(_ANNOUNCE, (CHANNEL, f"{projection} {position}"))


class PostgresProjectionWaits:
    """Uses one session per wait."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def wait_for(self, projection: str, position: int, *, timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        try:
            with psycopg.connect(self._dsn, autocommit=True, connect_timeout=5) as connection:
                connection.execute(f"LISTEN {CHANNEL}")  # before the position is read, to miss nothing
                row = connection.execute(_READ, (projection,)).fetchone()
                reached = row[0] if row is not None else 0
                while reached < position:
                    reached = max(
                        reached, _next_announced(connection, projection, deadline - time.monotonic())
                    )
                    if reached < position and time.monotonic() >= deadline:
                        raise ReadModelBehind(
                            f"{projection} is at {reached}, not yet at {position}, after {timeout_s:g} s; "
                            "try again, or see `gridproof projections list`"
                        )
                return reached
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise ReadModelsUnavailable(f"the read models did not answer: {error}") from error


def _next_announced(connection: Connection, projection: str, timeout_s: float) -> int:
    """The next announced position of the projection; 0 if another projection moved or nothing came."""
    for notify in connection.notifies(timeout=max(timeout_s, 0.001), stop_after=1):
        name, _, position = notify.payload.partition(" ")
        if name == projection:
            return int(position)
    return 0
