"""DeadLetters in memory."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec.structs import replace

from application.ports.dead_letters import (
    DeadLetter,
    DeadLetterDecided,
    DeadLetterNotFound,
    DeadLetterQueue,
    DeadLetterStatus,
)
from domain.errors import ReasonRequired


class FakeDeadLetters:
    def __init__(self) -> None:
        self._letters: dict[UUID, DeadLetter] = {}

    def park(self, letter: DeadLetter) -> None:
        parked = DeadLetter(
            dead_letter_id=letter.dead_letter_id,
            queue=letter.queue,
            subject=_text(letter.subject),
            reason=_text(letter.reason),
            body=letter.body,
            parked_at=letter.parked_at,
        )
        self._letters.setdefault(letter.dead_letter_id, parked)

    def listed(
        self,
        *,
        queue: DeadLetterQueue | None = None,
        status: DeadLetterStatus | None = "open",
        limit: int = 100,
    ) -> list[DeadLetter]:
        found = [
            letter
            for letter in sorted(self._letters.values(), key=lambda letter: letter.dead_letter_id)
            if queue in (None, letter.queue) and status in (None, letter.status)
        ]
        return sorted(found, key=lambda letter: letter.parked_at, reverse=True)[:limit]

    def open_before(
        self, moment: datetime, *, queues: Sequence[DeadLetterQueue], limit: int = 1_000
    ) -> list[DeadLetter]:
        found = [
            letter
            for letter in self._letters.values()
            if letter.status == "open" and letter.queue in queues and letter.parked_at <= moment
        ]
        return sorted(found, key=lambda letter: (letter.parked_at, letter.dead_letter_id))[:limit]

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
    ) -> DeadLetter:
        if status == "discarded" and not reason.strip():
            raise ReasonRequired("discarding a dead letter needs a reason")
        letter = self.get(dead_letter_id)
        if letter.status != "open":
            raise DeadLetterDecided(f"dead letter {dead_letter_id} was already {letter.status}")
        self._letters[dead_letter_id] = replace(
            letter, status=status, decided_at=at, decided_by=by, decision_reason=reason
        )
        return self._letters[dead_letter_id]


def _text(text: str) -> str:
    return text.replace("\0", "\\0")
