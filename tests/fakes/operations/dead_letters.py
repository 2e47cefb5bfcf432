"""DeadLetters in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec.structs import replace

from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterCursor,
    DeadLetterDecided,
    DeadLetterNotFound,
    DeadLetterQueue,
    DeadLetterStatus,
    OpenDeadLetters,
)
from domain.administration import AdministrativeAct
from domain.errors import ReasonRequired
from tests.stored_text import stored_text


class FakeDeadLetters:
    def __init__(self) -> None:
        self._letters: dict[UUID, DeadLetter] = {}
        self.acts: list[Any] = []
        """What was recorded in the log beside the decisions."""

    def park(self, letter: DeadLetter) -> None:
        parked = replace(
            letter,
            subject=stored_text(letter.subject),
            reason=stored_text(letter.reason),
            status="open",
            decided_at=None,
            decided_by=None,
            decision_reason=None,
        )
        self._letters.setdefault(letter.dead_letter_id, parked)

    def park_all(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            self.park(letter)

    def listed(
        self,
        *,
        queue: DeadLetterQueue | None = None,
        status: DeadLetterStatus | None = "open",
        limit: int = 100,
        after: DeadLetterCursor | None = None,
    ) -> list[DeadLetter]:
        found = [
            letter
            for letter in sorted(self._letters.values(), key=lambda letter: letter.dead_letter_id)
            if queue in (None, letter.queue) and status in (None, letter.status)
            if after is None or _comes_after(letter, after)
        ]
        return sorted(found, key=lambda letter: letter.parked_at, reverse=True)[:limit]

    def open_before(
        self,
        moment: datetime,
        *,
        queues: Sequence[DeadLetterQueue],
        after: DeadLetter | None = None,
        limit: int = 1_000,
    ) -> list[DeadLetter]:
        found = [
            letter
            for letter in self._letters.values()
            if letter.status == "open" and letter.queue in queues and letter.parked_at <= moment
            if after is None or _age(letter) > _age(after)
        ]
        return sorted(found, key=_age)[:limit]

    def open_about(self, subject: str, *, queue: DeadLetterQueue, limit: int = 1_000) -> list[DeadLetter]:
        found = [
            letter
            for letter in self._letters.values()
            if (letter.status, letter.queue, letter.subject) == ("open", queue, stored_text(subject))
        ]
        return sorted(found, key=_age)[:limit]

    def open_subjects(self, queue: DeadLetterQueue) -> set[str]:
        return {
            letter.subject
            for letter in self._letters.values()
            if (letter.status, letter.queue) == ("open", queue)
        }

    def open_by_queue(self) -> list[OpenDeadLetters]:
        still_open = [letter for letter in self._letters.values() if letter.status == "open"]
        return [
            OpenDeadLetters(
                queue=queue,
                open=sum(letter.queue == queue for letter in still_open),
                oldest_at=min(letter.parked_at for letter in still_open if letter.queue == queue),
            )
            for queue in sorted({letter.queue for letter in still_open})
        ]

    def get(self, dead_letter_id: UUID) -> DeadLetter:
        if dead_letter_id not in self._letters:
            raise DeadLetterNotFound(f"no dead letter {dead_letter_id}")
        return self._letters[dead_letter_id]

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
        if status == "discarded" and not reason.strip():
            raise ReasonRequired("discarding a dead letter needs a reason")
        letter = self.get(dead_letter_id)
        if letter.status != "open":
            raise DeadLetterDecided(f"dead letter {dead_letter_id} was already {letter.status}")
        decided = replace(letter, status=status, decided_at=at, decided_by=by, decision_reason=reason)
        self._letters[dead_letter_id] = decided
        self.acts += [] if act is None else act.collect_events()
        return decided

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
        found = sorted(one for one in dead_letter_ids if one in self._letters)
        decided = [one for one in found if self._letters[one].status == "open"]
        for one in decided:
            self.decide(one, status=status, by=by, reason=reason, at=at)
        self.acts += act_of(decided).collect_events() if decided else []
        return decided


def _comes_after(letter: DeadLetter, place: DeadLetterCursor) -> bool:
    if letter.parked_at == place.parked_at:
        return letter.dead_letter_id > place.dead_letter_id
    return letter.parked_at < place.parked_at


def _age(letter: DeadLetter) -> tuple[datetime, UUID]:
    return (letter.parked_at, letter.dead_letter_id)
