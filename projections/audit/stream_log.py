"""Port: the event log read by stream, for audits and historical reads."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import DomainEvent

AsOf = datetime | int
"""A past state of the log: by moment (recorded_at), or by the last position taken into account."""


class StreamEntry(msgspec.Struct, frozen=True):
    """A domain event at its position in the log."""

    position: int
    domain_event: DomainEvent


class StreamSlice(msgspec.Struct, frozen=True):
    """The entries of several streams in one state of the log."""

    head: int
    """The newest position of the whole log."""
    entries: list[StreamEntry]
    """In the order of the log."""


class Subject(msgspec.Struct, frozen=True):
    """A facility or a program, for what concerns it in the log."""

    stream_id: UUID
    name: str
    """Its id, as other streams name it."""


class StreamLogUnavailable(Exception):
    """The log cannot be reached, or did not answer in time."""


class TimesNotIndexed(StreamLogUnavailable):
    """Too much of the log is not in the index of times yet, so that no position is looked up by time."""


class PositionAhead(LookupError):
    """The log has not reached that position yet."""


class StreamLog(Protocol):
    """Reads the demand response log by streams (synchronous). All methods raise StreamLogUnavailable."""

    def entries_of(
        self, stream_ids: Sequence[UUID], *, topics: Sequence[str] | None = None
    ) -> list[StreamEntry]:
        """Every domain event of those streams (of those topics only, if given), in the order of the log."""
        ...

    def read_streams(
        self, mentioned: UUID, *, whole: Sequence[UUID], partly: Sequence[UUID], topics: Sequence[str]
    ) -> StreamSlice:
        """In one state of the log: all of the streams `whole`, and parts of the streams `partly`.

        Of the streams `partly` (none of them in `whole`), those domain events of `topics` that contain the id
        `mentioned`.
        """
        ...

    def entries_about(self, topics: Sequence[str], *, until: int, after: int = 0) -> Iterator[StreamEntry]:
        """Every domain event of those topics, of any stream, in the order of the log.

        Of positions greater than `after` and up to `until`.
        """
        ...

    def acts(
        self,
        *,
        before: int | None,
        limit: int,
        topics: Sequence[str] | None = None,
        about: Subject | None = None,
    ) -> list[StreamEntry]:
        """The newest `limit` domain events of LISTED_TOPICS, of positions less than `before`; the newest first.

        Of those of `topics` only, if given. Of those of the stream of `about`, and of those whose stored form contains
        its name, which may have another meaning there.
        """
        ...

    def prefix_end(self, as_of: datetime) -> int:
        """The last position of the longest prefix of the log in which every recorded_at <= `as_of`.

        Raises TimesNotIndexed.
        """
        ...

    def head(self) -> int:
        """The newest position; 0 for an empty log."""
        ...

    def dr_events_called(self, utility_event_id: str) -> list[UUID]:
        """The DR events with that id of a utility; two utilities may use the same id."""
        ...


def position_as_of(log: StreamLog, as_of: AsOf | None) -> int:
    """The end of the prefix given by `as_of`; None means the whole log.

    Raises PositionAhead or StreamLogUnavailable.
    """
    if isinstance(as_of, datetime):
        return log.prefix_end(as_of)
    return position_up_to(log.head(), as_of)


def position_up_to(head: int, as_of: int | None) -> int:
    """The end of the prefix given by a position in a log up to `head`. Raises PositionAhead."""
    if as_of is None:
        return head
    if as_of > head:
        raise PositionAhead(f"the log ends at position {head}: position {as_of} is not recorded yet")
    return as_of
