"""Deciding on a dead letter, and the alerts that end with it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from application.dead_letter_sla import OVERDUE, overdue_subject
from application.open_work import every_open_alert, every_open_letter
from application.ports.alerts import AlertRegistry
from application.ports.dead_letters import DeadLetter, DeadLetters

CLOCKS_DIFFER = timedelta(days=1)
"""More than the clock of whoever parked a letter is ahead of ours."""


def discard(
    dead_letter_id: UUID,
    letters: DeadLetters,
    alerts: AlertRegistry,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> DeadLetter:
    """The letter as decided: its work is not done any more. What is not recorded as decided ends no alert.

    Raises DeadLetterNotFound, DeadLetterDecided, ReasonRequired or OperationsUnavailable.
    """
    letter = letters.decide(dead_letter_id, status="discarded", by=by, reason=reason, at=at)
    clear_alerts_of(letter, letters, alerts, at=at)
    return letter


def clear_alerts_of(letter: DeadLetter, letters: DeadLetters, alerts: AlertRegistry, *, at: datetime) -> None:
    """What `letter` raised is over once it was decided, unless another letter of its subject still waits."""
    alerts.clear(OVERDUE, overdue_subject(letter), at=at)
    if letter.queue not in {"callback", "bms_command"}:
        return
    waiting = every_open_letter(letters, parked_by=at + CLOCKS_DIFFER, queues=(letter.queue,))
    if any(other.subject == letter.subject for other in waiting):
        return
    if letter.queue == "callback":
        alerts.clear("callback_undeliverable", letter.subject, at=at)
        return
    for alert in every_open_alert(alerts):
        if alert.name == "command_dead_lettered" and alert.subject.startswith(f"{letter.subject}/"):
            alerts.clear(alert.name, alert.subject, at=at)
