"""Reader of the log in order, as rows of bytes. The library would build a dictionary per row, which takes
longer than to read it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from eventsourcing.postgres import PostgresDatastore

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.event_store.errors import to_library_error
from adapters.postgres.wire_format.binary_arrays import bigint, bigint_of

_AFTER = """
SELECT notification_id, originator_id, originator_version, topic, state FROM gridproof.{table}
WHERE notification_id > $1::bigint ORDER BY notification_id LIMIT $2::bigint
"""


class LogRow(NamedTuple):
    """A stored domain event."""

    position: int
    originator_id: UUID
    originator_version: int
    topic: str
    state: bytes


class LogReader:
    """Reads over its own connection, one caller at a time."""

    def __init__(self, datastore: PostgresDatastore, *, table: str) -> None:
        self._dedicated = DedicatedConnection(
            datastore, "log", {b"after": _AFTER.format(table=table).encode()}
        )
        self._lock = threading.Lock()

    def after(self, position: int, limit: int) -> Sequence[LogRow]:
        """Rows after a position, in order, at most `limit`. Raises the library's errors."""
        with self._lock:
            try:
                return self._after(position, limit)
            except (OperationalError, InterfaceError):
                # The server may have closed this connection just now; the second attempt opens a new one.
                return self._after(position, limit)

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._dedicated.close()

    def _after(self, position: int, limit: int) -> list[LogRow]:
        try:
            [answer] = self._dedicated.session().statements.run((b"after", (bigint(position), bigint(limit))))
        except psycopg.Error as error:
            self._dedicated.close()
            raise to_library_error(error) from error
        value = answer.get_value
        return [
            LogRow(
                bigint_of(value(row, 0) or b""),
                UUID(bytes=value(row, 1) or b""),
                bigint_of(value(row, 2) or b""),
                (value(row, 3) or b"").decode(),
                value(row, 4) or b"",
            )
            for row in range(answer.ntuples)
        ]
