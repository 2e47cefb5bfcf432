"""Changes that wait to be settled: revisions of one DR event are ever further apart, and delay no other DR event.

The stored position stays before the oldest change that waits. A new process reads from there again, so none is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from application.ports.event_store.reader_positions import ReaderPositions
from domain.dr_event import SettlementRevision
from domain.event_sourcing.aggregate import DomainEvent

READER = "settle"
LONGEST_PAUSE, MINUTES_AT_MOST_DOUBLED = timedelta(days=1), 11
"""Of a rule with 60 days at most some 70 revisions, and 12 more shortly before the deadline."""
MOST_NAMED = 3


@dataclass
class Trigger:
    """Why a DR event is settled."""

    why: str
    cause: DomainEvent
    position: int
    """Of the cause."""
    corrected: dict[str, None] = field(default_factory=dict)
    """The facilities that were measured again, in their order."""

    @property
    def reason(self) -> str:
        if not self.corrected:
            return self.why
        more = len(self.corrected) - MOST_NAMED
        others = f" and {more} more" if more > 0 else ""
        return f"{self.why}: {', '.join([*self.corrected][:MOST_NAMED])}{others}"


class Pause(NamedTuple):
    """Between two revisions of a DR event."""

    begins_at: datetime
    ends_at: datetime

    @classmethod
    def after(cls, in_force: SettlementRevision) -> Pause:
        """None after revision 0, then 1, 3, 7, 15 minutes and so on to a day, but never more than half the time to the
        deadline: a change shortly before it is settled too."""
        doubled = min(in_force.revision, MINUTES_AT_MOST_DOUBLED)
        pause = min(timedelta(minutes=2**doubled - 1), LONGEST_PAUSE)
        begins_at, final_at = in_force.settled_at, in_force.figures.final_at
        if final_at is not None:
            pause = min(pause, max(final_at - begins_at, timedelta()) / 2)
        return cls(begins_at, begins_at + pause)

    def lasts_at(self, now: datetime) -> bool:
        """Not before it begins: then the clock was set back, and it might last for years."""
        return self.begins_at <= now < self.ends_at


@dataclass
class WaitingSettlements:
    """What waits, and how far the log was read."""

    positions: ReaderPositions
    _waiting: dict[UUID, tuple[Pause, Trigger]] = field(default_factory=dict)
    _stored: int = -1
    _read_to: int = 0

    def resume(self) -> int:
        """The position to read after: that of this process, unless another one has worked since."""
        if (stored := self.positions.position(READER)) != self._stored:
            self._waiting.clear()
            self._stored = self._read_to = stored
        return self._read_to

    def over(self, now: datetime) -> list[tuple[UUID, Trigger]]:
        """Those whose pause is over; each waits until `end`."""
        return [(one, trigger) for one, (pause, trigger) in self._waiting.items() if not pause.lasts_at(now)]

    def added(self, dr_event_id: UUID, trigger: Trigger) -> bool:
        """Whether the DR event waits already; then this is one change more."""
        if (found := self._waiting.get(dr_event_id)) is None:
            return False
        found[1].corrected.update(trigger.corrected)
        return True

    def wait(self, dr_event_id: UUID, pause: Pause, trigger: Trigger) -> None:
        self._waiting[dr_event_id] = (pause, trigger)

    def end(self, dr_event_id: UUID) -> None:
        self._waiting.pop(dr_event_id, None)

    def move(self, position: int) -> None:
        """Everything up to `position` was read, and is recorded, waits, or has an alert."""
        self._read_to = position
        oldest = min((trigger.position - 1 for _, trigger in self._waiting.values()), default=position)
        if (reached := min(oldest, position)) > self._stored:
            self.positions.move(READER, reached)
            self._stored = reached
