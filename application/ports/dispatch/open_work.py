"""Open work: what is to be done outside, as rows of the database beside the log.

The save that records an intent writes its row, all or nothing. A worker takes rows, holds each while it works, and
finishes it once the outcome is recorded. Rows of a worker that died are free again within about a second (if its host
was cut off: 11 s). A take or a finish may be lost when the database crashes: it is repeated, and finds the outcome.

A queue is what a row waits in: a facility for work of its BMS (`bms`), a utility for callbacks (`callback`). To hold a
row excludes nobody from a building: that is the job of the lock `bms:FACILITY`.

Nothing here waits. Every save of the log wakes those that listen for its entries; in case a notification is lost, and
for rows that become due, a worker also takes every 0.5 s.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from application.ports.operations.dead_letters import DeadLetter
from domain.administration import AdministrativeAct

WorkKind = Literal["bms", "callback"]


class OpenWorkUnavailable(ConnectionError):
    """PostgreSQL did not answer. Whether anything was stored is not known: repeat the call, or take again."""


class NotHeld(Exception):
    """The row is not held by that number any more: another worker may have it. Nothing was stored."""


class OpenWork(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was taken."""

    number: int
    """Names the row. Of a queue, intents have rising numbers in the order of the log."""
    kind: WorkKind
    queue: str
    position: int | None
    """Of its intent in the log; None: a check of the building, which no intent asks for."""
    tries: int
    """How often it was taken, this time included. So tries that ended their worker count too."""
    holder: int


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one queue."""

    kind: WorkKind
    queue: str
    rows: int
    """The intents that are not finished, and the check."""
    checks: int
    """0 or 1."""
    held: int
    due: int
    """Rows that nobody holds and that were not put off, or whose pause is over."""
    first_position: int | None
    """Of the oldest intent; None: only a check."""
    most_tries: int


class WorkHolder(Protocol):
    """The number by which a process holds rows: a lock of its one session of locks, so it dies with the process."""

    async def number(self) -> int:
        """The number that this process holds now: another one after its session was lost, whose rows others may have
        taken since. Ask before each take. Raises OpenWorkUnavailable."""
        ...


class OpenWorkRows(Protocol):
    """The rows (synchronous). Each method is one transaction, and raises OpenWorkUnavailable.

    `take_bms`, `take_callbacks`, `finish`, `put_off`, `free` and `free_dead_holders` do not wait for the disk.
    """

    def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
        """Take work for at most so many buildings: `commands` rows of intents, and `checks` rows beside them. From a
        random queue on; the answer is in the order of numbers.

        Of a facility only the head can be taken: its first intent; its check where it has no intent. While a row of the
        facility is held, or its first intent is put off, nothing of it is taken. So a check that waits keeps no command
        waiting. Two workers never take the same row.
        """
        ...

    def take_callbacks(self, holder: int, *, at_most: int, at_once: int) -> list[OpenWork]:
        """Take at most `at_most` callbacks: of each utility the first due ones, as long as no more than `at_once` of it
        are held, by all workers together. From a random queue on; the answer is in the order of numbers.

        A callback that is put off keeps no other waiting, unlike work of a building.
        """
        ...

    def finish(self, works: Sequence[OpenWork]) -> None:
        """Delete those of the rows that their `holder` still holds. Only after their outcomes are recorded."""
        ...

    def put_off(self, work: OpenWork, *, wall_s: float) -> None:
        """Give the row back, to be taken again after `wall_s` seconds of the database's clock; 0: at once. Does nothing
        if its `holder` does not hold it any more."""
        ...

    def park(self, work: OpenWork, letters: Sequence[DeadLetter]) -> None:
        """Store the letters and delete the row, both or neither.

        The ids of the letters are to be derived from this issue of the work (its `number`, or the domain event that
        asks for it): a letter that was decided is never opened again. Raises NotHeld, and DeadLetterDecided for such a
        letter; the row then stays.
        """
        ...

    def replay(
        self,
        dead_letter_id: UUID,
        *,
        kind: WorkKind,
        queue: str,
        position: int,
        by: str,
        reason: str,
        at: datetime,
        act: AdministrativeAct,
    ) -> DeadLetter:
        """Record that the letter was replayed, with its act, and put a row for the intent at `position` at the end of
        its queue, both or neither. Returns the letter. Raises DeadLetterNotFound or DeadLetterDecided, and ClockSkewed
        for an act that is dated ahead of the database's clock."""
        ...

    def free(self, holder: int, *, keeping: Collection[int] = ()) -> int:
        """Give the rows of `holder` back at once, except the numbers of `keeping`: for a process that ends, or
        that lost the answer of a take. Returns how many were given back."""
        ...

    def free_dead_holders(self) -> int:
        """Give back the rows of each holder whose lock is free. Returns their number. For any process, each second. Not
        in the session of its own locks, to which PostgreSQL grants its own number once more."""
        ...

    def add_checks(self, facility_ids: Collection[str]) -> int:
        """A check for each of the buildings that has none. Returns how many were added."""
        ...

    def depths(self, kind: WorkKind | None = None) -> list[QueueDepth]:
        """Each queue that has rows, by kind and name."""
        ...
