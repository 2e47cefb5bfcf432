"""Dead letters: work that could not be done, stored with its reason until a person decides."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec

from domain.administration import AdministrativeAct

DeadLetterQueue = Literal[
    "bms_command", "callback", "meter_message", "telemetry_batch", "projection", "saga_command", "correction"
]
DeadLetterStatus = Literal["open", "replayed", "discarded"]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A parked piece of work. `dead_letter_id` is derived from the work, so parking it twice stores one."""

    dead_letter_id: UUID
    queue: DeadLetterQueue
    subject: str
    """What it is about: a facility id, a utility, a callback id, an MQTT topic, an ordering key of the saga."""
    reason: str
    body: bytes
    parked_at: datetime
    status: DeadLetterStatus = "open"
    decided_at: datetime | None = None
    decided_by: str | None = None
    decision_reason: str | None = None


class DeadLetterCursor(NamedTuple):
    """The position of a dead letter in the list; it never changes."""

    parked_at: datetime
    dead_letter_id: UUID


class OpenDeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """The undecided dead letters of one queue."""

    queue: DeadLetterQueue
    open: int
    oldest_at: datetime


class DeadLetterNotFound(LookupError):
    """No dead letter has that id."""


class DeadLetterDecided(ValueError):
    """The dead letter was already replayed or discarded."""


class DeadLetters(Protocol):
    """The only store of dead letters, used by every module (synchronous)."""

    def park(self, letter: DeadLetter) -> None:
        """Store `letter`. Parking the same id again changes nothing."""
        ...

    def park_all(self, letters: Sequence[DeadLetter]) -> None:
        """Like `park` for each of them, at the cost of one. Stores all of them, or none."""
        ...

    def listed(
        self,
        *,
        queue: DeadLetterQueue | None = None,
        status: DeadLetterStatus | None = "open",
        limit: int = 100,
        after: DeadLetterCursor | None = None,
    ) -> list[DeadLetter]:
        """The newest first; `after`: the last entry of the previous page."""
        ...

    def open_before(
        self,
        moment: datetime,
        *,
        queues: Sequence[DeadLetterQueue],
        after: DeadLetter | None = None,
        limit: int = 1_000,
    ) -> list[DeadLetter]:
        """Undecided dead letters of `queues` parked at `moment` or before; the oldest first.

        `after`: the last entry of the previous page, even if it was decided in the meantime.
        """
        ...

    def open_about(self, subject: str, *, queue: DeadLetterQueue, limit: int = 1_000) -> list[DeadLetter]:
        """Undecided dead letters of that subject in `queue`; the oldest first."""
        ...

    def open_subjects(self, queue: DeadLetterQueue) -> set[str]:
        """The subjects of the undecided dead letters of `queue`."""
        ...

    def open_by_queue(self) -> list[OpenDeadLetters]:
        """Every queue that has undecided dead letters, by name."""
        ...

    def get(self, dead_letter_id: UUID) -> DeadLetter:
        """Raises DeadLetterNotFound."""
        ...

    def decide(
        self,
        dead_letter_id: UUID,
        *,
        status: Literal["replayed", "discarded"],
        by: str,
        reason: str,
        at: datetime,
        act: AdministrativeAct | None = None,
    ) -> DeadLetter:
        """Record the decision, in one transaction with its act; raises DeadLetterNotFound or DeadLetterDecided.

        Without an act where the decision follows from a domain event, which then is the record of it.
        """
        ...

    def decide_all(
        self,
        dead_letter_ids: Sequence[UUID],
        *,
        status: Literal["replayed", "discarded"],
        by: str,
        reason: str,
        at: datetime,
        act_of: Callable[[Sequence[UUID]], AdministrativeAct],
    ) -> list[UUID]:
        """Record one decision on those that are open, in one transaction with the act for them. Returns their ids."""
        ...
