"""The table of a new generation's rows, as long as it is not attached to the read model's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from adapters.postgres.row_encoding import Stored
from adapters.postgres.row_table import RowTable, copy_rows, table_of
from projections.folded_rows import FoldedRows
from projections.read_model import AnyProjection, RowsUnavailable

Connection = psycopg.Connection[tuple[Any, ...]]

_KEYS_AT_ONCE = 10_000


class NewGeneration:
    """The rows that are to become the live ones, as long as they are a table of their own."""

    def __init__(self, connection: Connection, projection: AnyProjection, generation: int) -> None:
        self._connection = connection
        self._projection = projection
        self._generation = generation
        self._own_name = f"{projection.name}_g{generation}"

    def build_key(self) -> None:
        """So that rows can be fetched and removed; the first rows go in faster without it."""
        self._connection.execute(
            "SELECT gridproof.key_generation(%s, %s)", (self._projection.name, self._generation)
        )

    def fetch(self, keys: Collection[str]) -> Mapping[str, Any]:
        """Key -> row, of those there are. Raises RowUnreadable or RowsUnavailable."""
        table: RowTable[Any] = RowTable(
            self._connection, self._projection, self._generation, table=table_of(self._own_name)
        )
        try:
            return table.fetch(keys)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise RowsUnavailable(f"rows of {self._own_name}: {error}") from error

    def store(self, folded: FoldedRows[Any]) -> int:
        """What the stretch changed, in the caller's transaction; how many rows more there are now."""
        removed = self._remove(list(folded.outdated)) if folded.outdated else 0
        added = 0

        def counted() -> Iterator[Stored]:
            nonlocal added
            for changed in folded.changed():
                added += 1
                yield changed

        copy_rows(self._connection, table_of(self._own_name), self._projection, counted(), self._generation)
        return added - removed

    def _remove(self, keys: list[str]) -> int:
        statement = sql.SQL("DELETE FROM {} WHERE generation = %s AND key = ANY(%s)").format(
            table_of(self._own_name)
        )
        return sum(
            self._connection.execute(
                statement, (self._generation, keys[start : start + _KEYS_AT_ONCE])
            ).rowcount
            for start in range(0, len(keys), _KEYS_AT_ONCE)
        )
