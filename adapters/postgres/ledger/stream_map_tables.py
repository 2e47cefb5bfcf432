"""The map of streams in PostgreSQL: its pages, and how far it covers the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from psycopg import sql

from adapters.postgres.wire_format.copy_format import COPY_SIGNATURE, COPY_TRAILER
from application.ports.ledger.store import LedgerMoved, LedgerUnavailable
from domain.ledger.entries import DEMAND_RESPONSE, FORECASTS
from domain.ledger.map_pages import MapChange, MapState
from domain.ledger.stream_map import StreamVersion

TABLES = {DEMAND_RESPONSE: "demand_response_events", FORECASTS: "forecasts_events"}
"""The tables of the logs."""
_LAST_VERSIONS = """
COPY (
    SELECT originator_id, max(originator_version) FROM gridproof.{table}
    WHERE notification_id > {after} AND notification_id <= {up_to} AND originator_version > 0
    GROUP BY originator_id ORDER BY originator_id
) TO STDOUT (FORMAT BINARY)
"""
_FIELD_COUNT = b"\x00\x02"
_STREAM, _VERSION = slice(6, 22), slice(26, 34)
"""Places in a row of the binary COPY: after a field count and before each field its length."""
_STATE = "SELECT size, position, streams, root FROM gridproof.ledger_maps WHERE log = %s"
_PAGES = "SELECT name, page FROM gridproof.ledger_map_pages WHERE log = %s AND name = ANY(%s)"
_MOVE = """
UPDATE gridproof.ledger_maps SET size = %s, position = %s, streams = %s, root = %s
WHERE log = %s AND size = %s AND position = %s AND root = %s
"""
_WRITE_PAGES = """
INSERT INTO gridproof.ledger_map_pages (log, name, page)
SELECT %s, name, page FROM unnest(%s::text[], %s::bytea[]) AS given (name, page)
ON CONFLICT (log, name) DO UPDATE SET page = excluded.page
"""


class StreamMapTables:
    """The part of `PostgresLedgerStore` that reads and writes the map of streams."""

    def _connection(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        raise NotImplementedError

    def last_versions(self, log: str, *, after: int, up_to: int) -> Iterator[StreamVersion]:
        query = sql.SQL(_LAST_VERSIONS).format(
            table=sql.Identifier(TABLES[log]), after=sql.Literal(str(after)), up_to=sql.Literal(up_to)
        )
        with self._connection() as connection, connection.cursor().copy(query) as rows:
            for message in rows:
                row = bytes(message).removeprefix(COPY_SIGNATURE)
                if row == COPY_TRAILER:
                    continue
                if row[:2] != _FIELD_COUNT:
                    raise LedgerUnavailable(
                        "PostgreSQL's binary COPY is not as it was: no map of streams can be made"
                    )
                yield row[_STREAM], int.from_bytes(row[_VERSION], "big", signed=True)

    def map_state(self, log: str) -> MapState:
        with self._connection() as connection:
            row = connection.execute(_STATE, (log,), binary=True).fetchone()
        return MapState(*row) if row else MapState()

    def map_pages(self, log: str, names: Collection[str]) -> dict[str, bytes]:
        with self._connection() as connection:
            return dict(connection.execute(_PAGES, (log, list(names)), binary=True).fetchall())

    def change_map(self, log: str, change: MapChange) -> None:
        with self._connection() as connection, connection.transaction():
            store_map_change(connection, log, change)


def store_map_change(connection: psycopg.Connection[Any], log: str, change: MapChange) -> None:
    """Store a change of the map in the transaction of the connection. Raises LedgerMoved."""
    before, after = change.before, change.after
    if before != after:
        to = (after.size, after.position, after.streams, after.root)
        of = (log, before.size, before.position, before.root)
        if connection.execute(_MOVE, to + of).rowcount != 1:
            raise LedgerMoved(f"the map of {log} no longer covers {before.size} domain events")
    connection.execute(_WRITE_PAGES, (log, list(change.pages), list(change.pages.values())))
