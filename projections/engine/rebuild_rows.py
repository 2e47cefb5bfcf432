"""Rows of a rebuild in memory, each with the position that changed it last.

A rebuild folds the log in segments and stores the changes of each segment. The rows stay in memory for the
next one, unless there are too many. From then on, and after a restart, the rows that a segment needs are
fetched.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Generic

from projections.engine.memory_rows import Entry, fold_failed
from projections.engine.projection import Projection, RowsUnavailable, TRow

Fetch = Callable[[Collection[str]], Mapping[str, TRow]]
"""Keys -> stored rows, for the keys that exist."""


class FoldedRows(Generic[TRow]):
    """Rows of one projection: key -> (row, position of the last change), and added rows."""

    def __init__(
        self, projection: Projection[TRow], *, position: int = 0, fetch: Fetch[TRow] | None = None
    ) -> None:
        self.projection = projection
        self.by_key: dict[str, tuple[TRow, int]] = {}
        self._added: list[tuple[TRow, int]] = []
        self.position = position
        """The position of the domain event that is being folded, or was folded last."""
        self.domain_events = 0
        self.outdated: set[str] = set()
        """Keys whose stored row differs, or may differ, from the current one."""
        self._fetch = fetch
        """None while every row is in memory."""
        self._absent: set[str] = set()
        self._since = position

    def get(self, key: str) -> TRow | None:
        entry = self.by_key.get(key)
        if entry is None and self._fetch is not None:
            self.prefetch([key])
            entry = self.by_key.get(key)
        return None if entry is None else entry[0]

    def put(self, row: TRow) -> None:
        key = self.projection.key(row)
        if self._since:
            self._note_outdated(key, self.by_key.get(key))
        self.by_key[key] = (row, self.position)

    def add(self, row: TRow) -> None:
        self._added.append((row, self.position))

    def delete(self, key: str) -> None:
        previous = self.by_key.pop(key, None)
        if self._since:
            self._note_outdated(key, previous)
        if self._fetch is not None:
            self._absent.add(key)

    def prefetch(self, keys: Iterable[str]) -> None:
        """Fetch the rows that may be stored and are not in memory."""
        if self._fetch is None:
            return
        missing = {key for key in keys if key not in self.by_key and key not in self._absent}
        if missing:
            fetched = self._fetch(missing)
            self.by_key.update((key, (row, self._since)) for key, row in fetched.items())
            self._absent |= missing - fetched.keys()

    def fold(self, entries: Iterable[Entry]) -> None:
        """Fold entries in order. Raises FoldFailed or RowsUnavailable."""
        fold = self.projection.fold
        for entry in entries:
            position = self.position = entry.position
            try:
                fold(position, entry.domain_event, self)
            except RowsUnavailable:
                raise
            except Exception as error:
                raise fold_failed(self.projection, entry, error) from error
            self.domain_events += 1

    def changed(self) -> Iterator[tuple[TRow, int]]:
        """(row, position) of each row that this segment changed or created, except added rows."""
        since = self._since
        return (entry for entry in self.by_key.values() if entry[1] > since)

    def take_added(self) -> list[tuple[TRow, int]]:
        """(row, position) of the rows added since the last call; the caller owns them from now on."""
        added, self._added = self._added, []
        return added

    def begin_segment(self, position: int, *, most_rows: int, fetch: Fetch[TRow]) -> None:
        """Changes up to `position` are stored; keep the rows in memory unless there are more than
        `most_rows`.
        """
        self._since = self.position = position
        self.outdated.clear()
        if len(self.by_key) > most_rows:
            self.by_key.clear()
            self._fetch = fetch
        if self._fetch is not None:
            self._absent.clear()  # Rows that were absent may be stored now.

    def _note_outdated(self, key: str, previous: tuple[TRow, int] | None) -> None:
        """In a later segment: note that `key` may already be stored."""
        unsure = self._fetch is not None and key not in self._absent
        if (previous is None and unsure) or (previous is not None and previous[1] <= self._since):
            self.outdated.add(key)
