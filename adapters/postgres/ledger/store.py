"""The logs and the ledger's tables in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg import sql

from adapters.postgres.connection.transaction import RETRY_ADVICE, PortErrors
from adapters.postgres.ledger.stream_map_tables import TABLES, StreamMapTables, store_map_change
from adapters.postgres.ledger.tree_tables import TreeTables
from adapters.postgres.wire_format.copy_format import COPY_SIGNATURE, COPY_TRAILER
from application.ports.ledger.store import LedgerHead, LedgerMoved, LedgerUnavailable
from domain.ledger.entries import (
    DEMAND_RESPONSE,
    ENTRY_BYTES,
    RECORDED_BYTES,
    RECORDED_MARK,
    TILE_ENTRIES,
    LogRow,
    last_position_of,
)
from domain.ledger.map_pages import MapChange

Connection = psycopg.Connection[Any]

_ERRORS = PortErrors(LedgerUnavailable, advice=RETRY_ADVICE)
_FIELDS = "notification_id, originator_id, originator_version, topic, state"
_COPY = """
COPY (
    SELECT {fields} FROM gridproof.{table} WHERE notification_id > {after} AND notification_id <= {up_to}
    ORDER BY notification_id LIMIT {limit}
) TO STDOUT (FORMAT BINARY)
"""
_FIELDS_OF_ROW = 5
_FIELD_COUNT = b"\x00\x05"
_POSITION = slice(5, 13)
"""Place of the first field's bytes in a row of the binary COPY with one byte in place of its field count."""
_MOVE = """
UPDATE gridproof.ledger_heads SET size = %s, position = %s WHERE log = %s AND size = %s
"""
_WRITE_TILE = """
INSERT INTO gridproof.ledger_tiles AS known (log, tile, entries) VALUES (%s, %s, %s)
ON CONFLICT (log, tile) DO UPDATE SET entries = substring(known.entries FROM 1 FOR %s) || excluded.entries
"""
_TILES = """
SELECT tile, entries FROM gridproof.ledger_tiles WHERE log = %s AND tile BETWEEN %s AND %s ORDER BY tile
"""

_RESTORES = """
SELECT signed FROM gridproof.ledger_checkpoints WHERE position(%s IN substring(signed FROM 1 FOR 200)) > 0
ORDER BY number
"""
_RESTORED_TAG = b'"gridproof-ledger-checkpoint.v3"'
_SKIP = """
SELECT setval(sequence, greatest(last_value, %(position)s)) FROM (
    SELECT sequence, coalesce(pg_sequence_last_value(sequence), 1) AS last_value
    FROM CAST(pg_get_serial_sequence(%(table)s, 'notification_id') AS regclass) AS sequence
) AS found
"""
# The index of times by position (ADR 0064) must not end before the positions that are left out: a look-up scans behind
# it, and limits by positions how far.
_INDEX_TIMES = """
INSERT INTO gridproof.recorded_times (position, latest_at)
SELECT %(position)s, greatest(max(gridproof.recorded_at(state)), (SELECT max(latest_at) FROM gridproof.recorded_times))
FROM gridproof.demand_response_events
WHERE notification_id > coalesce((SELECT max(position) FROM gridproof.recorded_times), 0)
HAVING count(*) > 0
ON CONFLICT DO NOTHING
"""


class PostgresLedgerStore(TreeTables, StreamMapTables):
    """`connect` returns a connection for one call: one of a pool, or always the same session."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._connect = connect

    def entries_of_log(
        self,
        log: str,
        *,
        after: int,
        up_to: int,
        limit: int | None = None,
        recorded: bytearray | None = None,
    ) -> bytes:
        query = sql.SQL(_COPY).format(
            fields=sql.SQL(_FIELDS),
            table=sql.Identifier(TABLES[log]),
            after=sql.Literal(str(after)),  # as text, since -2^63 without quotes is no bigint
            up_to=sql.Literal(up_to),
            limit=sql.Literal(limit),
        )
        with self._connection() as connection, connection.cursor().copy(query) as rows:
            return b"".join(_copied_entries(rows, recorded))

    def row(self, log: str, position: int) -> LogRow | None:
        rows = self.rows(log, [position])
        return rows[0] if rows else None

    def rows(self, log: str, positions: Sequence[int]) -> list[LogRow]:
        query = sql.SQL(
            "SELECT {} FROM gridproof.{} WHERE notification_id = ANY(%s) ORDER BY notification_id"
        ).format(sql.SQL(_FIELDS), sql.Identifier(TABLES[log]))
        with self._connection() as connection:
            return _rows(connection.execute(query, (list(positions),)))

    def rows_of_streams(self, log: str, stream_ids: Collection[UUID], *, up_to: int) -> list[LogRow]:
        query = sql.SQL(
            "SELECT {} FROM gridproof.{} WHERE originator_id = ANY(%s) AND notification_id <= %s "
            "ORDER BY notification_id"
        ).format(sql.SQL(_FIELDS), sql.Identifier(TABLES[log]))
        with self._connection() as connection:
            return _rows(connection.execute(query, (list(stream_ids), up_to)))

    def head(self, log: str) -> int:
        table = sql.Identifier(TABLES[log])
        return self._number(
            sql.SQL("SELECT coalesce(max(notification_id), 0) FROM gridproof.{}").format(table), ()
        )

    def count_after(self, log: str, position: int) -> int:
        table = sql.Identifier(TABLES[log])
        query = sql.SQL("SELECT count(*) FROM gridproof.{} WHERE notification_id > %s").format(table)
        return self._number(query, (position,))

    def appended(self, log: str) -> LedgerHead:
        with self._connection() as connection:
            row = connection.execute(
                "SELECT size, position FROM gridproof.ledger_heads WHERE log = %s", (log,)
            ).fetchone()
        return LedgerHead(*row) if row else LedgerHead(0, 0)

    def append(self, log: str, size: int, entries: bytes) -> LedgerHead:
        moved = LedgerHead(size + len(entries) // ENTRY_BYTES, last_position_of(entries))
        with self._connection() as connection, connection.transaction():
            if connection.execute(_MOVE, (moved.size, moved.position, log, size)).rowcount != 1:
                raise LedgerMoved(f"the ledger of {log} no longer has {size} entries")
            with connection.pipeline():
                for tile, stored, part in _tiles(size, entries):
                    connection.execute(_WRITE_TILE, (log, tile, part, stored * ENTRY_BYTES))
        return moved

    def entries(self, log: str, first: int, count: int) -> bytes:
        with self._connection() as connection:
            rows = connection.execute(
                _TILES, (log, first // TILE_ENTRIES, (first + count - 1) // TILE_ENTRIES), binary=True
            )
            tiles = rows.fetchall()
        return b"".join(_part(entries, tile * TILE_ENTRIES, first, first + count) for tile, entries in tiles)

    def keep_checkpoint(self, number: int, signed: bytes, log: str, change: MapChange) -> None:
        with self._connection() as connection, connection.transaction():
            store_map_change(connection, log, change)
            connection.execute(
                "INSERT INTO gridproof.ledger_checkpoints (number, signed) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (number, signed),
            )

    def checkpoint(self, number: int) -> bytes | None:
        with self._connection() as connection:
            row = connection.execute(
                "SELECT signed FROM gridproof.ledger_checkpoints WHERE number = %s", (number,)
            ).fetchone()
        return bytes(row[0]) if row else None

    def restore_checkpoints(self) -> list[bytes]:
        with self._connection() as connection:
            return [bytes(signed) for (signed,) in connection.execute(_RESTORES, (_RESTORED_TAG,))]

    def skip_positions(self, log: str, position: int) -> None:
        with self._connection() as connection, connection.transaction():
            connection.execute(_SKIP, {"table": f"gridproof.{TABLES[log]}", "position": position})
            if log == DEMAND_RESPONSE:
                connection.execute(_INDEX_TIMES, {"position": position})

    def last_checkpoint_number(self) -> int:
        return self._number("SELECT coalesce(max(number), 0) FROM gridproof.ledger_checkpoints", ())

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        with self._connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield type(self)(lambda: nullcontext(connection))

    def _number(self, query: Any, parameters: tuple[object, ...]) -> int:
        with self._connection() as connection:
            row = connection.execute(query, parameters).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with _ERRORS.translated(), self._connect() as connection:
            yield connection


def _rows(cursor: psycopg.Cursor[Any]) -> list[LogRow]:
    return [
        LogRow(position=position, originator_id=stream, originator_version=version, topic=topic, state=state)
        for position, stream, version, topic, state in cursor
    ]


def _copied_entries(rows: psycopg.Copy, recorded: bytearray | None) -> Iterator[bytes]:
    """Ledger entries of the copied rows. PostgreSQL sends each row as one message; the first one also has the
    file header. A million of them are verified: what is called for each row is inlined."""
    parts: list[bytes] = []
    for message in rows:
        if message[0] != 0 or message[1] != _FIELDS_OF_ROW:
            message = bytes(message).removeprefix(COPY_SIGNATURE)  # noqa: PLW2901
            if message == COPY_TRAILER:
                continue
            if message[:2] != _FIELD_COUNT:
                raise LedgerUnavailable(
                    "PostgreSQL's binary COPY is not as it was: nothing can be verified over it"
                )
        row = b"\x00" + message[2:]
        if recorded is not None:
            at = row.find(RECORDED_MARK)
            parts.append(row[at : at + RECORDED_BYTES])  # nothing if there is none
        yield row[_POSITION] + sha256(row).digest()  # domain.ledger.merkle.leaf_hash, inlined
    if recorded is not None:
        joined = b"".join(parts)
        is_full = len(joined) == len(parts) * RECORDED_BYTES
        recorded += joined if is_full else b"".join([part.ljust(RECORDED_BYTES) for part in parts])


def _tiles(size: int, entries: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(tile, number of entries it has already, entries to add) for a table of `size` entries."""
    at = 0
    while at < len(entries):
        tile, stored = divmod(size, TILE_ENTRIES)
        part = entries[at : at + (TILE_ENTRIES - stored) * ENTRY_BYTES]
        yield tile, stored, part
        at += len(part)
        size += len(part) // ENTRY_BYTES


def _part(entries: bytes, starts_at: int, first: int, end: int) -> bytes:
    """The entries of a tile from `first` to before `end`."""
    return entries[max(first - starts_at, 0) * ENTRY_BYTES : (end - starts_at) * ENTRY_BYTES]
