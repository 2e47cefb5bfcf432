"""The log as people watch it: what happened, to which DR event and facility, once the read models know it too."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

SERVING = ("dr_events", "dispatches", "facilities", "portfolio")
"""The projections whose rows people read."""


class LiveEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event, as far as somebody needs it who reads the rows anew. Any release's: nothing else is decoded."""

    position: int
    topic: str
    occurred_at: datetime | None
    dr_event_id: UUID | None = None
    facility_id: str | None = None


class ReadModelState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rows of one projection have come."""

    name: str
    position: int
    is_stopped: bool = False
    """It met what it cannot fold, and stays where it is until somebody acts."""
    behind_since: datetime | None = None
    """When the oldest domain event that it has not folded was recorded; None at the head of the log."""


class News(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the log and its read models, and what is new."""

    head: int
    read_models: tuple[ReadModelState, ...]
    """Of SERVING."""
    entries: tuple[LiveEntry, ...] = ()
    """In order, up to `served_until` at most."""

    @property
    def served_until(self) -> int:
        """Up to there every read model knows the log, apart from those that have stopped."""
        return served_until(self.read_models, self.head)


def served_until(read_models: Sequence[ReadModelState], head: int) -> int:
    """Up to there whoever reads the rows sees what happened. A stopped read model holds nobody up."""
    return min((state.position for state in read_models if not state.is_stopped), default=head)


class LiveLogUnavailable(ConnectionError):
    """The log cannot be reached, or did not answer in time."""


class LiveLog(Protocol):
    """Synchronous. Every method raises LiveLogUnavailable, also where nothing answers: none waits for good."""

    def news(self, after: int | None, *, limit: int) -> News:
        """What is new after that position, `limit` entries at most; None: only how things stand."""
        ...

    def entries(self, after: int, until: int, *, limit: int) -> list[LiveEntry]:
        """The first `limit` entries with after < position <= until, in order."""
        ...

    def readings_stored_at(self) -> datetime | None:
        """When readings were stored last; None: never."""
        ...

    def check(self) -> None:
        """Whether the database answers, over a connection made for this alone: one of before may have died, or hang."""
        ...

    def close(self) -> None:
        """Nothing is asked any more."""
        ...
