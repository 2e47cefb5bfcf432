"""Rows in memory: for verification, historical reads and tests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol

from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.projection import Projection, Rows, RowsUnavailable, TRow


class Entry(Protocol):
    """A domain event at its position in the log."""

    @property
    def position(self) -> int: ...

    @property
    def domain_event(self) -> DomainEvent: ...


class FoldFailed(Exception):
    """A domain event that a projection cannot fold; it must never be skipped."""

    def __init__(self, projection: str, position: int, topic: str, why: str) -> None:
        super().__init__(f"projection {projection} cannot fold position {position} ({topic}): {why}")
        self.projection = projection
        self.position = position
        self.topic = topic
        self.why = why

    def __reduce__(self) -> tuple[Any, ...]:
        """Allows pickling: a process that folds a part reports the error to the process that rebuilds."""
        return type(self), (self.projection, self.position, self.topic, self.why)


class MemoryRows(Generic[TRow]):
    """Rows of one projection in a dict."""

    def __init__(self, projection: Projection[TRow]) -> None:
        self.projection = projection
        self.by_key: dict[str, TRow] = {}
        self.position = 0

    def get(self, key: str) -> TRow | None:
        return self.by_key.get(key)

    def put(self, row: TRow) -> None:
        self.by_key[self.projection.key(row)] = row

    def add(self, row: TRow) -> None:
        self.by_key[self.projection.key(row)] = row

    def delete(self, key: str) -> None:
        self.by_key.pop(key, None)

    def fold(self, entries: Iterable[Entry]) -> None:
        """Fold entries in order. Raises FoldFailed."""
        for entry in entries:
            fold_entry(self.projection, entry, self)
            self.position = entry.position

    def listed(self) -> Iterator[tuple[str, str, TRow]]:
        """(sort key, key, row) of every row that queries see, in order."""
        visible = [
            (sort_key, key, row)
            for key, row in self.by_key.items()
            if (sort_key := self.projection.sort_key(row)) is not None
        ]
        yield from sorted(visible, key=lambda item: item[:2], reverse=self.projection.newest_first)

    def rows(self) -> Mapping[str, TRow]:
        return dict(self.by_key)


def fold_entry(projection: Projection[TRow], entry: Entry, rows: Rows[TRow]) -> None:
    """Fold one entry. Raises FoldFailed with its position (`rows` may be partly changed) or RowsUnavailable."""
    try:
        projection.fold(entry.position, entry.domain_event, rows)
    except RowsUnavailable:
        raise
    except Exception as error:
        raise fold_failed(projection, entry, error) from error


def fold_failed(projection: Projection[TRow], entry: Entry, error: Exception) -> FoldFailed:
    """The FoldFailed for an entry and the error that it caused."""
    topic = type(entry.domain_event).__qualname__
    return FoldFailed(projection.name, entry.position, topic, f"{type(error).__name__}: {error}")
