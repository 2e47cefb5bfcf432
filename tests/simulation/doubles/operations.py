"""Alerts, dead letters and reader positions in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec.structs import replace

from application.operations.alert_catalogue import ALERTS
from application.ports.operations.alerts import Alert, AlertCursor
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


class MemoryAlertRegistry:
    """AlertRegistry."""

    def __init__(self) -> None:
        self._alerts: list[Alert] = []
        """In the order they were raised."""
        self._open: dict[tuple[str, str], int] = {}
        """(name, subject) -> index in `_alerts`."""

    def raise_alert(self, name: str, subject: str, detail: str, *, at: datetime) -> None:
        severity, key, detail = ALERTS[name].severity, (name, _text(subject)), _text(detail)
        place = self._open.get(key)
        if place is None:
            self._open[key] = len(self._alerts)
            self._alerts.append(
                Alert(
                    alert_id=len(self._alerts) + 1,
                    name=name,
                    subject=key[1],
                    severity=severity,
                    detail=detail,
                    raised_at=at,
                    last_seen_at=at,
                )
            )
            return
        known = self._alerts[place]
        self._alerts[place] = replace(
            known, severity=severity, detail=detail, last_seen_at=max(known.last_seen_at, at)
        )

    def clear(self, name: str, subject: str, *, at: datetime) -> None:
        place = self._open.pop((name, _text(subject)), None)
        if place is not None:
            known = self._alerts[place]
            self._alerts[place] = replace(known, cleared_at=max(known.last_seen_at, at))

    def open_by_name(self) -> dict[str, int]:
        return dict(Counter(name for name, _ in self._open))

    def open_about(self, subject: str, *, limit: int = 100) -> list[Alert]:
        about = [
            alert
            for alert in self.listed(limit=len(self._alerts))
            if alert.subject == subject or alert.subject.startswith(f"{subject}/")
        ]
        return about[:limit]

    def listed(
        self, *, include_cleared: bool = False, limit: int = 200, after: AlertCursor | None = None
    ) -> list[Alert]:
        shown = [
            alert
            for alert in self._alerts
            if (include_cleared or alert.cleared_at is None) and (after is None or _place(alert) < after)
        ]
        return sorted(shown, key=_place, reverse=True)[:limit]


class MemoryDeadLetters:
    """DeadLetters."""

    def __init__(self) -> None:
        self._letters: dict[UUID, DeadLetter] = {}
        self.acts: list[Any] = []
        """What was recorded in the log beside the decisions."""

    def park(self, letter: DeadLetter) -> None:
        parked = replace(
            letter,
            subject=_text(letter.subject),
            reason=_text(letter.reason),
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
            if (letter.status, letter.queue, letter.subject) == ("open", queue, _text(subject))
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


class MemoryReaderPositions:
    """ReaderPositions."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}

    def position(self, reader: str) -> int:
        return self._positions.get(reader, 0)

    def move(self, reader: str, position: int) -> None:
        self._positions[reader] = max(position, self.position(reader))


def _place(alert: Alert) -> AlertCursor:
    return AlertCursor(alert.raised_at, alert.alert_id)


def _comes_after(letter: DeadLetter, place: DeadLetterCursor) -> bool:
    if letter.parked_at == place.parked_at:
        return letter.dead_letter_id > place.dead_letter_id
    return letter.parked_at < place.parked_at


def _age(letter: DeadLetter) -> tuple[datetime, UUID]:
    return (letter.parked_at, letter.dead_letter_id)


def _text(text: str) -> str:
    """PostgreSQL stores no NUL."""
    return text.replace("\0", "\\0")
