"""The alerts of open dead letters: one of what could not be done, and `dead_letter_overdue` where nobody decides.

They follow from the letters alone: what parks work raises nothing, and a decision ends nothing by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from application.measurement.correction_parking import alert_subject
from application.operations import command_parking
from application.operations.open_items import CLOCKS_DIFFER, open_dead_letters
from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue, DeadLetters

OVERDUE = "dead_letter_overdue"
ALERT_OF: dict[DeadLetterQueue, str] = {
    "bms_command": "command_dead_lettered",
    "callback": "callback_undeliverable",
    "saga_command": "saga_command_parked",
    "telemetry_batch": "poison_batch",
    "correction": "poison_batch",
}
"""Without the malformed messages of meters, and the projections, which state alerts of their own."""
WATCHED: frozenset[DeadLetterQueue] = frozenset({"bms_command", "callback", "saga_command"})
"""The queues that a building or a utility waits for: only their letters are overdue one day."""


class LetterAlert(msgspec.Struct, frozen=True):
    """The conditions that are open because of one letter."""

    name: str
    subject: str
    detail: str
    parked_at: datetime
    overdue: str | None
    """The subject of `dead_letter_overdue`; None: nobody waits for it."""


def waiting_letters(letters: DeadLetters, *, now: datetime) -> list[LetterAlert]:
    """The conditions of all open letters, the oldest first. Raises OperationsUnavailable."""
    waiting = open_dead_letters(letters, parked_by=now + CLOCKS_DIFFER, queues=tuple(ALERT_OF))
    return [_alert_of(letter) for letter in waiting]


def stated_of(waiting: Sequence[LetterAlert], *, now: datetime, sla_s: float) -> dict[str, dict[str, str]]:
    """Alert -> subject -> detail. Of several letters of one subject the oldest is told."""
    stated: dict[str, dict[str, str]] = {name: {} for name in (*ALERT_OF.values(), OVERDUE)}
    for one in waiting:
        stated[one.name].setdefault(one.subject, one.detail)
        if one.overdue is not None and now - one.parked_at >= timedelta(seconds=sla_s):
            since = one.parked_at.isoformat(timespec="seconds")
            stated[OVERDUE][one.overdue] = (
                f"{one.subject}: nobody has acted since {since} ({sla_s / 60:g} min allowed); {one.detail}"
            )
    return stated


def overdue_subject(letter: DeadLetter) -> str:
    return f"{letter.queue}/{letter.dead_letter_id}"


def _alert_of(letter: DeadLetter) -> LetterAlert:
    subject, detail = letter.subject, letter.reason
    if (
        letter.queue == "telemetry_batch"
    ):  # about one batch (`partition 5, sequence 17`), the alert of its partition
        subject, _, batch = letter.subject.partition(", ")
        detail = f"{batch}: {letter.reason}"
    elif letter.queue == "correction":
        subject = alert_subject(letter.subject)
    elif letter.queue == command_parking.QUEUE:
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            detail = f"{command_parking.decode(letter).names}: {letter.reason}"
    overdue = overdue_subject(letter) if letter.queue in WATCHED else None
    return LetterAlert(ALERT_OF[letter.queue], subject, detail[:1_000], letter.parked_at, overdue)
