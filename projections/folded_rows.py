"""Rows in memory with the position that changed each: what a rebuild folds before anything is stored."""

from collections.abc import Iterable
from typing import Generic

from projections.memory_rows import Entry, fold_entry
from projections.read_model import Projection, TRow


class FoldedRows(Generic[TRow]):
    """Rows of one projection: key -> (row, position of the domain event that changed it last)."""

    def __init__(self, projection: Projection[TRow]) -> None:
        self.projection = projection
        self.by_key: dict[str, tuple[TRow, int]] = {}
        self.position = 0
        """Of the domain event that is being folded, or was last."""
        self.domain_events = 0

    def get(self, key: str) -> TRow | None:
        found = self.by_key.get(key)
        return None if found is None else found[0]

    def put(self, row: TRow) -> None:
        self.by_key[self.projection.key(row)] = (row, self.position)

    def delete(self, key: str) -> None:
        self.by_key.pop(key, None)

    def fold(self, entries: Iterable[Entry]) -> None:
        """Take entries into account, in order. Raises FoldFailed."""
        for entry in entries:
            self.position = entry.position
            fold_entry(self.projection, entry, self)
            self.domain_events += 1
