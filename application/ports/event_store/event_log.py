"""The event log in total order, as relays and projections read it."""

from typing import Protocol

import msgspec

from domain.event_sourcing.aggregate import DomainEvent


class LogEntry(msgspec.Struct, frozen=True):
    """A domain event and its position. Positions rise; gaps have no meaning."""

    position: int
    topic: str
    domain_event: DomainEvent


class EventLog(Protocol):
    """The log of one application (synchronous)."""

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        """Up to `limit` entries after `position`, in order. Raises LogEntryUnreadable at an entry that cannot
        be decoded."""
        ...

    def head(self) -> int:
        """The newest position; 0 for an empty log."""
        ...


class LogEntryUnreadable(Exception):
    """This release cannot decode the topic or the state of an entry."""

    def __init__(self, position: int, topic: str, why: str) -> None:
        super().__init__(f"log entry {position} ({topic}) cannot be read: {why}")
        self.position = position
        self.topic = topic
