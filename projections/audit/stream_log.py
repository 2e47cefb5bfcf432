"""The log read by story: what an audit needs, straight from the recorded domain events."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import DomainEvent

AsOf = datetime | int
"""A past state of the log: by the moment (recorded_at), or by the last position taken into account."""


class StreamEntry(msgspec.Struct, frozen=True):
    """A domain event at its position in the log."""

    position: int
    domain_event: DomainEvent


class StreamSlice(msgspec.Struct, frozen=True):
    """One state of the log, as far as a story goes."""

    head: int
    """The newest position of the whole log."""
    entries: list[StreamEntry]
    """In the order of the log."""


class StreamLogUnavailable(Exception):
    """The log cannot be reached, or did not answer in time."""


class PositionAhead(LookupError):
    """The log has not come to that position yet: what it will say then cannot be told now."""


class StreamLog(Protocol):
    """Reads the demand response log by streams (synchronous). All methods raise StreamLogUnavailable."""

    def entries_of(
        self, stream_ids: Sequence[UUID], *, topics: Sequence[str] | None = None
    ) -> list[StreamEntry]:
        """Every domain event of those streams (of those topics only, if given), in the order of the log."""
        ...

    def told_of(
        self, mentioned: UUID, *, whole: Sequence[UUID], partly: Sequence[UUID], topics: Sequence[str]
    ) -> StreamSlice:
        """In one state of the log: every domain event of the streams `whole`, and of others what they say of one id.

        Of the streams `partly` (none of them in `whole`) those of `topics` that name `mentioned` somewhere.
        """
        ...

    def entries_about(self, topics: Sequence[str], *, until: int, after: int = 0) -> Iterator[StreamEntry]:
        """Every domain event of those topics, of whatever stream, in the order of the log.

        Of positions greater than `after` and up to `until`.
        """
        ...

    def prefix_end(self, as_of: datetime) -> int:
        """The last position of the longest prefix of the log in which every recorded_at <= `as_of`."""
        ...

    def head(self) -> int:
        """The newest position; 0 for an empty log."""
        ...

    def dr_events_called(self, utility_event_id: str) -> list[UUID]:
        """The DR events that utilities know by that id of theirs; two utilities may use the same."""
        ...


def position_as_of(log: StreamLog, as_of: AsOf | None) -> int:
    """The end of the prefix that `as_of` means; None means all there is now.

    Raises PositionAhead or StreamLogUnavailable.
    """
    if isinstance(as_of, datetime):
        return log.prefix_end(as_of)
    return position_up_to(log.head(), as_of)


def position_up_to(head: int, as_of: int | None) -> int:
    """The end of the prefix that a position means in a log up to `head`. Raises PositionAhead."""
    if as_of is None:
        return head
    if as_of > head:
        raise PositionAhead(f"the log ends at position {head}: as of {as_of} nothing can be said yet")
    return as_of
