"""The SLA of dead letters: the alert `dead_letter_overdue` for letters that are open too long.

The only state between two runs is that of the registers, so a restart neither loses nor repeats an alert.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from application.operations.open_items import open_dead_letters
from application.ports.operations.alerts import AlertRegistry, every_open_alert
from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterNotFound,
    DeadLetterQueue,
    DeadLetters,
)

OVERDUE = "dead_letter_overdue"
WATCHED: tuple[DeadLetterQueue, ...] = ("bms_command", "callback", "saga_command")
"""The queues that a building or a utility waits for; the others have alerts of their own."""


def escalate(letters: DeadLetters, alerts: AlertRegistry, *, now: datetime, sla_s: float) -> None:
    """Raise the alert of every letter that is undecided after `sla_s` seconds, once; clear those of decided
    letters."""
    open_subjects = {alert.subject for alert in every_open_alert(alerts) if alert.name == OVERDUE}
    overdue: set[str] = set()
    for letter in open_dead_letters(letters, parked_by=now - timedelta(seconds=sla_s), queues=WATCHED):
        overdue.add(overdue_subject(letter))
        if overdue_subject(letter) not in open_subjects:
            alerts.raise_alert(OVERDUE, overdue_subject(letter), _detail(letter, sla_s), at=now)
    for subject in open_subjects - overdue:
        if not _is_open(letters, subject):
            alerts.clear(OVERDUE, subject, at=now)


def overdue_subject(letter: DeadLetter) -> str:
    return f"{letter.queue}/{letter.dead_letter_id}"


def _detail(letter: DeadLetter, sla_s: float) -> str:
    since = letter.parked_at.isoformat(timespec="seconds")
    return f"{letter.subject}: nobody has acted since {since} ({sla_s / 60:g} min allowed); {letter.reason}"


def _is_open(letters: DeadLetters, subject: str) -> bool:
    try:
        return letters.get(UUID(subject.rpartition("/")[2])).status == "open"
    except DeadLetterNotFound:
        return False
