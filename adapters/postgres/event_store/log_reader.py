"""Reader of the log in order, as rows of bytes. The library would build a dictionary per row, which takes
longer than to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.pq.abc import PGresult

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.connection.pipeline import Call
from adapters.postgres.event_store.errors import as_library_errors
from adapters.postgres.wire_format.binary_arrays import bigint, bigint_of

_AFTER = """
SELECT notification_id, originator_id, originator_version, topic, state FROM gridproof.{table}
WHERE notification_id > $1::bigint ORDER BY notification_id LIMIT $2::bigint
"""
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.{table}"


class LogRow(NamedTuple):
    """A stored domain event."""

    position: int
    originator_id: UUID
    originator_version: int
    topic: str
    state: bytes


class LogReader:
    """Reads the log over a connection that others may use too."""

    def __init__(self, dedicated: DedicatedConnection, *, table: str) -> None:
        dedicated.add(
            {b"after": _AFTER.format(table=table).encode(), b"head": _HEAD.format(table=table).encode()}
        )
        self._dedicated = dedicated

    def after(self, position: int, limit: int) -> Sequence[LogRow]:
        """Rows after a position, in order, at most `limit`. Raises the library's errors."""
        answer = self._run((b"after", (bigint(position), bigint(limit))))
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

    def head(self) -> int:
        """The position of the newest domain event, 0 for an empty log. Raises the library's errors."""
        return bigint_of(self._run((b"head", ())).get_value(0, 0) or b"")

    def _run(self, call: Call) -> PGresult:
        with as_library_errors():
            try:
                [answer] = self._dedicated.run(call)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # The server may have closed this connection just now; the second attempt opens a new one.
                [answer] = self._dedicated.run(call)
        return answer
