"""The log in total order, as relays and projections read it."""

from typing import Protocol

import msgspec

from domain.event_sourcing.aggregate import DomainEvent


class LogEntry(msgspec.Struct, frozen=True):
    """A domain event and its position. Positions rise; gaps mean nothing."""

    position: int
    topic: str
    domain_event: DomainEvent


class EventLog(Protocol):
    """One application's log (synchronous)."""

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        """Up to `limit` entries after `position`, in order. An undecodable entry raises LogEntryUnreadable."""
        ...

    def head(self) -> int:
        """The newest position; 0 for an empty log."""
        ...


class LogEntryUnreadable(Exception):
    """An entry's topic or state cannot be decoded by this release."""

    def __init__(self, position: int, topic: str, why: str) -> None:
        super().__init__(f"log entry {position} ({topic}) cannot be read: {why}")
        self.position = position
        self.topic = topic
