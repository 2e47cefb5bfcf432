"""OpenWorkRows and WorkHolder in memory: the rows of one system, and the numbers of its living processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from random import Random
from threading import RLock
from uuid import UUID

from application.ports.dispatch.open_work import NotHeld, OpenWork, QueueDepth, WorkKind
from application.ports.operations.dead_letters import DeadLetter, DeadLetterDecided, DeadLetterNotFound
from domain.administration import AdministrativeAct
from tests.fakes.operations.dead_letters import FakeDeadLetters


@dataclass(eq=False)
class Row:
    """A row, as the database stores it."""

    number: int
    kind: WorkKind
    queue: str
    position: int | None
    due_at: float = float("-inf")
    tries: int = 0
    holder: int | None = None


class FakeOpenWork:
    """Several threads may use it. `seconds` is the database's clock."""

    def __init__(
        self,
        dead_letters: FakeDeadLetters | None = None,
        *,
        seconds: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.rows: dict[int, Row] = {}
        self.living: set[int] = set()
        """The numbers that a process holds."""
        self._letters = FakeDeadLetters() if dead_letters is None else dead_letters
        self._seconds = seconds
        self._random = random or Random()
        self._numbers, self._holders = count(1), count(1)
        self._lock = RLock()

    def add(self, intents: Iterable[tuple[WorkKind, str, int]]) -> None:
        """Add the rows of a save: kind, queue and position of each intent."""
        with self._lock:
            for kind, queue, position in intents:
                self._add(kind, queue, position)

    def new_holder(self) -> int:
        """The number of a further process."""
        holder = next(self._holders)
        self.living.add(holder)
        return holder

    def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
        with self._lock:
            heads = [head for rows in self._queues("bms") if (head := self._head(rows)) is not None]
            taken = [row for row in heads if row.position is not None][:commands]
            taken += [row for row in heads if row.position is None][:checks]
            return self._taken(taken, holder)

    def take_callbacks(self, holder: int, *, at_most: int, at_once: int) -> list[OpenWork]:
        with self._lock:
            taken: list[Row] = []
            for rows in self._queues("callback"):
                free = max(0, at_once - sum(row.holder is not None for row in rows))
                taken += [row for row in rows if self._is_due(row)][:free]
            return self._taken(taken[:at_most], holder)

    def finish(self, works: Sequence[OpenWork]) -> None:
        with self._lock:
            for work in works:
                if self._held(work) is not None:
                    del self.rows[work.number]

    def put_off(self, work: OpenWork, *, wall_s: float) -> None:
        with self._lock:
            row = self._held(work)
            if row is not None:
                row.holder, row.due_at = None, self._seconds() + wall_s

    def park(self, work: OpenWork, letters: Sequence[DeadLetter]) -> None:
        with self._lock:
            if self._held(work) is None:
                raise NotHeld(f"work {work.number} is not held by {work.holder} any more")
            for letter in letters:
                self._refuse_decided(letter.dead_letter_id)
            self._letters.park_all(letters)
            del self.rows[work.number]

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
        with self._lock:
            letter = self._letters.decide(
                dead_letter_id, status="replayed", by=by, reason=reason, at=at, act=act
            )
            self._add(kind, queue, position)
            return letter

    def free(self, holder: int, *, keeping: Collection[int] = ()) -> int:
        with self._lock:
            held = [row for row in self.rows.values() if row.holder == holder and row.number not in keeping]
            return self._freed(row for row in held)

    def free_dead_holders(self) -> int:
        with self._lock:
            held = [row for row in self.rows.values() if row.holder is not None]
            return self._freed(row for row in held if row.holder not in self.living)

    def add_checks(self, facility_ids: Collection[str]) -> int:
        with self._lock:
            checked = {row.queue for row in self.rows.values() if row.position is None}
            new = sorted(set(facility_ids) - checked)
            for facility_id in new:
                self._add("bms", facility_id, None)
            return len(new)

    def depths(self, kind: WorkKind | None = None) -> list[QueueDepth]:
        with self._lock:
            return [
                self._depth(of_kind, queue, rows)
                for (of_kind, queue), rows in sorted(self._by_queue().items())
                if kind in (None, of_kind)
            ]

    def _depth(self, kind: WorkKind, queue: str, rows: Sequence[Row]) -> QueueDepth:
        positions = [row.position for row in rows if row.position is not None]
        return QueueDepth(
            kind=kind,
            queue=queue,
            rows=len(rows),
            checks=len(rows) - len(positions),
            held=sum(row.holder is not None for row in rows),
            due=sum(self._is_due(row) for row in rows),
            first_position=min(positions, default=None),
            most_tries=max(row.tries for row in rows),
        )

    def _add(self, kind: WorkKind, queue: str, position: int | None) -> None:
        number = next(self._numbers)
        self.rows[number] = Row(number, kind, queue, position)

    def _by_queue(self) -> dict[tuple[WorkKind, str], list[Row]]:
        """The rows of each queue in the order of their numbers, which is that of the dict."""
        queues: dict[tuple[WorkKind, str], list[Row]] = {}
        for row in self.rows.values():
            queues.setdefault((row.kind, row.queue), []).append(row)
        return queues

    def _queues(self, kind: WorkKind) -> list[list[Row]]:
        """The rows of each queue of a kind, from a random queue on."""
        queues = [rows for (of_kind, _), rows in sorted(self._by_queue().items()) if of_kind == kind]
        start = self._random.randrange(len(queues)) if queues else 0
        return queues[start:] + queues[:start]

    def _head(self, rows: Sequence[Row]) -> Row | None:
        """The row of a facility that can be taken."""
        head = next((row for row in rows if row.position is not None), rows[0])
        is_busy = any(row.holder is not None for row in rows)
        return None if is_busy or not self._is_due(head) else head

    def _is_due(self, row: Row) -> bool:
        return row.holder is None and row.due_at <= self._seconds()

    def _held(self, work: OpenWork) -> Row | None:
        row = self.rows.get(work.number)
        return row if row is not None and row.holder == work.holder else None

    def _taken(self, rows: Iterable[Row], holder: int) -> list[OpenWork]:
        return list(self._take(sorted(rows, key=lambda row: row.number), holder))

    def _take(self, rows: Iterable[Row], holder: int) -> Iterator[OpenWork]:
        for row in rows:
            row.holder, row.tries = holder, row.tries + 1
            yield OpenWork(
                number=row.number,
                kind=row.kind,
                queue=row.queue,
                position=row.position,
                tries=row.tries,
                holder=holder,
            )

    def _freed(self, rows: Iterable[Row]) -> int:
        freed = list(rows)
        for row in freed:
            row.holder = None
        return len(freed)

    def _refuse_decided(self, dead_letter_id: UUID) -> None:
        try:
            letter = self._letters.get(dead_letter_id)
        except DeadLetterNotFound:
            return
        if letter.status != "open":
            raise DeadLetterDecided(f"dead letter {dead_letter_id} was already {letter.status}")


class FakeWorkHolder:
    """The number of one process."""

    def __init__(self, rows: FakeOpenWork) -> None:
        self._rows = rows
        self._number: int | None = None

    async def number(self) -> int:
        if self._number not in self._rows.living:
            self._number = self._rows.new_holder()
        assert self._number is not None
        return self._number

    def lose(self) -> None:
        """The session of the locks is lost, as when the process dies."""
        self._rows.living.discard(self._number or 0)
