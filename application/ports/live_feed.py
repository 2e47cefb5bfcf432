"""The log as live views read it: what happened to which DR event and facility, once the read models show it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

SERVING = ("dr_events", "dispatches", "facilities", "portfolio")
"""The projections whose rows are served."""


class LiveEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event, reduced to what a client needs to reload rows. Works for every release: nothing else is
    decoded."""

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
    """The projection met an event that it cannot apply, and waits for an operator."""
    behind_since: datetime | None = None
    """When the oldest unapplied domain event was recorded; None at the head of the log."""


class LiveUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the log and its read models, with the new entries."""

    head: int
    read_models: tuple[ReadModelState, ...]
    """Those in SERVING."""
    entries: tuple[LiveEntry, ...] = ()
    """In order, up to `served_until` at most."""

    @property
    def served_until(self) -> int:
        """The position up to which every read model has applied the log; stopped read models do not count."""
        return served_until(self.read_models, self.head)


def served_until(read_models: Sequence[ReadModelState], head: int) -> int:
    """The position up to which the rows show the log. Stopped read models do not count."""
    return min((state.position for state in read_models if not state.is_stopped), default=head)


class LiveLogUnavailable(ConnectionError):
    """The log cannot be reached, or did not answer in time."""


class LiveLog(Protocol):
    """Synchronous. Every method is bounded in time and raises LiveLogUnavailable when the database does not
    answer."""

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        """The entries after that position, at most `limit`; None: only the state."""
        ...

    def entries(self, after: int, until: int, *, limit: int) -> list[LiveEntry]:
        """The first `limit` entries with after < position <= until, in order."""
        ...

    def readings_stored_at(self) -> datetime | None:
        """When readings were last stored; None: never."""
        ...

    def check(self) -> None:
        """Check that the database answers, over a new connection: an existing one may be dead or blocked."""
        ...

    def close(self) -> None:
        """Close the connections. The object cannot be used afterwards."""
        ...
