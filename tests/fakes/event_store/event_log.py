"""EventLog in memory, filled with the pending events of aggregates."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from eventsourcing.utils import get_topic

from application.ports.event_store.event_log import LogEntry
from domain.event_sourcing.aggregate import Aggregate, DomainEvent


class FakeEventLog:
    """Positions rise by `gap + 1`, since the real store leaves gaps too."""

    def __init__(self, entries: Iterable[LogEntry] = ()) -> None:
        self.entries: list[LogEntry] = list(entries)

    def save(self, *aggregates: Aggregate[Any], gap: int = 0) -> None:
        """Append their pending events, like one save."""
        for aggregate in aggregates:
            pending = cast("Sequence[DomainEvent]", aggregate.collect_events())
            self.append(pending, gap=gap)

    def append(self, domain_events: Iterable[DomainEvent], *, gap: int = 0) -> None:
        for domain_event in domain_events:
            position = self.head() + 1 + gap
            self.entries.append(LogEntry(position, get_topic(type(domain_event)), domain_event))

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        return [entry for entry in self.entries if entry.position > position][:limit]

    def head(self) -> int:
        return self.entries[-1].position if self.entries else 0
