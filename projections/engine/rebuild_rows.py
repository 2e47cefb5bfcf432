"""Rows in memory with the position that changed each: what a rebuild folds, stretch by stretch, before it stores them.

After a stretch its changes are stored. The rows stay in memory for the next one, unless they became too many: from then
on, and after a restart, what a stretch needs is fetched.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Generic

from projections.engine.memory_rows import Entry, fold_failed
from projections.engine.projection import Projection, RowsUnavailable, TRow

Fetch = Callable[[Collection[str]], Mapping[str, TRow]]
"""Key -> stored row, of those keys that there are."""


class FoldedRows(Generic[TRow]):
    """Rows of one projection: key -> (row, position of the domain event that changed it last), and those added."""

    def __init__(
        self, projection: Projection[TRow], *, position: int = 0, fetch: Fetch[TRow] | None = None
    ) -> None:
        self.projection = projection
        self.by_key: dict[str, tuple[TRow, int]] = {}
        self._added: list[tuple[TRow, int]] = []
        self.position = position
        """Of the domain event that is being folded, or was last."""
        self.domain_events = 0
        self.outdated: set[str] = set()
        """Keys that are, or may be, stored otherwise than they are now."""
        self._fetch = fetch
        """None while every row is in memory."""
        self._absent: set[str] = set()
        self._since = position

    def get(self, key: str) -> TRow | None:
        found = self.by_key.get(key)
        if found is None and self._fetch is not None:
            self.prefetch([key])
            found = self.by_key.get(key)
        return None if found is None else found[0]

    def put(self, row: TRow) -> None:
        key = self.projection.key(row)
        if self._since:
            self._note_outdated(key, self.by_key.get(key))
        self.by_key[key] = (row, self.position)

    def add(self, row: TRow) -> None:
        self._added.append((row, self.position))

    def delete(self, key: str) -> None:
        known = self.by_key.pop(key, None)
        if self._since:
            self._note_outdated(key, known)
        if self._fetch is not None:
            self._absent.add(key)

    def prefetch(self, keys: Iterable[str]) -> None:
        """Fetch what may be stored and is not in memory."""
        if self._fetch is None:
            return
        missing = {key for key in keys if key not in self.by_key and key not in self._absent}
        if missing:
            fetched = self._fetch(missing)
            self.by_key.update((key, (row, self._since)) for key, row in fetched.items())
            self._absent |= missing - fetched.keys()

    def fold(self, entries: Iterable[Entry]) -> None:
        """Take entries into account, in order. Raises FoldFailed or RowsUnavailable."""
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
        """(row, position) of what this stretch changed, or made, without what was added."""
        since = self._since
        return (kept for kept in self.by_key.values() if kept[1] > since)

    def take_added(self) -> list[tuple[TRow, int]]:
        """(row, position) of what was added since the last time; from here on it is the caller's to keep."""
        added, self._added = self._added, []
        return added

    def begin_stretch(self, position: int, *, most_rows: int, fetch: Fetch[TRow]) -> None:
        """What was changed up to `position` is stored; keep it in memory unless it is more than `most_rows`."""
        self._since = self.position = position
        self.outdated.clear()
        if len(self.by_key) > most_rows:
            self.by_key.clear()
            self._fetch = fetch
        if self._fetch is not None:
            self._absent.clear()  # what is stored now may be among them

    def _note_outdated(self, key: str, known: tuple[TRow, int] | None) -> None:
        """In a later stretch: whether `key` may be stored already."""
        unsure = self._fetch is not None and key not in self._absent
        if (known is None and unsure) or (known is not None and known[1] <= self._since):
            self.outdated.add(key)
