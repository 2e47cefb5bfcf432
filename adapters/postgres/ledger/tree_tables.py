"""Tiles of the ledger's table and of the hashes above it, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from domain.ledger.entries import TILE_ENTRIES

# The expression of the index `ledger_tiles_position`.
_FIRST_POSITION = "('x' || encode(substring(entries FROM 1 FOR 8), 'hex'))::bit(64)::bigint"
_TILES_AT = f"""
SELECT coalesce((
    SELECT tile FROM gridproof.ledger_tiles WHERE log = %s AND {_FIRST_POSITION} <= wanted.position
    ORDER BY {_FIRST_POSITION} DESC LIMIT 1
), 0) FROM unnest(%s::bigint[]) WITH ORDINALITY AS wanted (position, number) ORDER BY wanted.number
"""  # noqa: S608 - our own expression
_NODE_TILES = """
SELECT level, tile, length(hashes) / 32 FROM gridproof.ledger_nodes WHERE log = %s ORDER BY level, tile
"""
_STORE_NODES = """
INSERT INTO gridproof.ledger_nodes (log, level, tile, hashes) VALUES (%s, %s, %s, %s)
ON CONFLICT (log, level, tile) DO UPDATE SET hashes = excluded.hashes
"""


class TreeTables:
    """The part of `PostgresLedgerStore` that reads and writes tiles."""

    def _connection(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        raise NotImplementedError

    def tiles_at(self, log: str, positions: Sequence[int]) -> list[int]:
        with self._connection() as connection:
            return [int(tile) for (tile,) in connection.execute(_TILES_AT, (log, list(positions)))]

    def tiles(self, log: str, numbers: Collection[int]) -> dict[int, bytes]:
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT tile, entries FROM gridproof.ledger_tiles WHERE log = %s AND tile = ANY(%s)",
                (log, list(numbers)),
                binary=True,
            )
            return dict(rows.fetchall())

    def node_counts(self, log: str) -> list[int]:
        with self._connection() as connection:
            return _gapless_counts(connection.execute(_NODE_TILES, (log,)))

    def nodes(self, log: str, level: int, numbers: Collection[int]) -> dict[int, bytes]:
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT tile, hashes FROM gridproof.ledger_nodes WHERE log = %s AND level = %s AND tile = ANY(%s)",
                (log, level, list(numbers)),
                binary=True,
            )
            return dict(rows.fetchall())

    def store_nodes(self, log: str, level: int, tiles: Mapping[int, bytes]) -> None:
        with self._connection() as connection, connection.transaction():
            connection.cursor().executemany(
                _STORE_NODES, [(log, level, number, hashes) for number, hashes in tiles.items()]
            )


def _gapless_counts(tiles: Iterable[tuple[int, int, int]]) -> list[int]:
    """The number of hashes before the first gap of each level, from (level, tile, number of hashes) in order."""
    counts: list[int] = []
    for level, tile, hashes in tiles:
        counts += [0] * (level - len(counts))
        if counts[level - 1] == tile * TILE_ENTRIES:
            counts[level - 1] += hashes
    return counts
