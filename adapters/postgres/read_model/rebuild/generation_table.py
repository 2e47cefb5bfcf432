"""The table of a new generation, before it is attached to the read model's table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import psycopg
from psycopg import sql

from adapters.postgres.read_model.row_encoding import Stored, text_array
from adapters.postgres.read_model.row_table import RowTable, copy_blocks_in, layout_of
from projections.engine.projection import AnyProjection, RowsUnavailable
from projections.engine.rebuild_rows import FoldedRows

Connection = psycopg.Connection[tuple[Any, ...]]

_KEYS_AT_ONCE = 10_000
_POSITIONS = "SELECT key, position FROM {table} WHERE generation = %s AND key = ANY(%s::text[])"


class GenerationTable:
    """The rows of a new generation in their own table."""

    def __init__(self, connection: Connection, projection: AnyProjection, generation: int) -> None:
        self._connection = connection
        self._projection = projection
        self._generation = generation
        self._layout = layout_of(projection)
        self._own_table = self._layout.table_of_generation(generation)
        self._has_key = False
        self._added = 0
        self._added_blocks: list[bytes] = []
        self._rows: RowTable[Any] = RowTable(connection, projection, generation, table=self._own_table)

    def build_key(self) -> None:
        """Create the primary key, which fetching and deleting need. Loading is faster without it."""
        if self._has_key:
            return
        self._connection.execute(
            "SELECT gridproof.key_generation(%s, %s)", (self._layout.stem, self._generation)
        )
        self._has_key = True

    def fetch(self, keys: Collection[str]) -> Mapping[str, Any]:
        """Key -> existing row. Raises RowUnreadable or RowsUnavailable."""
        try:
            self.build_key()
            return self._rows.fetch(keys)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise RowsUnavailable(f"rows of {self._projection.name}: {error}") from error

    def take_added(self, folded: FoldedRows[Any]) -> None:
        """Move added rows into encoded blocks, which take a fraction of the memory."""
        added = folded.take_added()
        if added:
            self._added += len(added)
            self._added_blocks += self._layout.blocks(self._projection, added, self._generation)

    def store(self, folded: FoldedRows[Any]) -> int:
        """Store the changes of the stretch in the caller's transaction. Returns by how many rows the table
        grew."""
        self.take_added(folded)
        removed = self._remove(list(folded.outdated)) if folded.outdated else 0
        changed = 0

        def counted() -> Iterator[Stored]:
            nonlocal changed
            for row in folded.changed():
                changed += 1
                yield row

        blocks = chain(self._layout.blocks(self._projection, counted(), self._generation), self._added_blocks)
        copy_blocks_in(self._connection, self._own_table, self._layout, blocks)
        more, self._added, self._added_blocks = changed + self._added - removed, 0, []
        return more

    def join_shares(self, keys: Sequence[str]) -> int:
        """Put the row of sums in the place of the parts' shares, in the caller's transaction. Returns by how many rows
        the table grew. A second time there are no shares, and nothing changes."""
        statement = sql.SQL(_POSITIONS).format(table=self._own_table)
        found = self._connection.execute(statement, (self._generation, text_array(keys)))
        positions = {str(key): int(position) for key, position in found}
        shares = [(row, positions[key]) for key, row in self._rows.fetch(keys).items()]
        removed, whole = self._rows.remove(keys), self._projection.joined(shares)
        if whole is not None:
            self._rows.write({}, [whole])
        return (whole is not None) - removed

    def _remove(self, keys: list[str]) -> int:
        return sum(
            self._rows.remove(keys[start : start + _KEYS_AT_ONCE])
            for start in range(0, len(keys), _KEYS_AT_ONCE)
        )
