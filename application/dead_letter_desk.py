"""Deciding on a dead letter, and the alerts that end with it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from application.dead_letter_sla import MOST_AT_ONCE, MOST_OPEN, OVERDUE, overdue_subject
from application.ports.alerts import AlertRegistry
from application.ports.dead_letters import DeadLetter, DeadLetters


def discard(
    dead_letter_id: UUID,
    letters: DeadLetters,
    alerts: AlertRegistry,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> DeadLetter:
    """The letter as decided: its work is not done any more.

    Raises DeadLetterNotFound, DeadLetterDecided, ReasonRequired or OperationsUnavailable.
    """
    letter = letters.decide(dead_letter_id, status="discarded", by=by, reason=reason, at=at)
    clear_alerts_of(letter, letters, alerts, at=at)
    return letter


def clear_alerts_of(letter: DeadLetter, letters: DeadLetters, alerts: AlertRegistry, *, at: datetime) -> None:
    """What `letter` raised is over once it was decided."""
    alerts.clear(OVERDUE, overdue_subject(letter), at=at)
    if letter.queue == "callback":
        alerts.clear("callback_undeliverable", letter.subject, at=at)
    elif letter.queue == "bms_command":
        waiting = letters.listed(queue="bms_command", limit=MOST_AT_ONCE)
        if any(other.subject == letter.subject for other in waiting):
            return  # another command of that facility still waits for somebody
        for alert in alerts.listed(limit=MOST_OPEN):
            if alert.name == "command_dead_lettered" and alert.subject.startswith(f"{letter.subject}/"):
                alerts.clear(alert.name, alert.subject, at=at)
