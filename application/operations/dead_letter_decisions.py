"""Decisions on dead letters, and the alerts that end with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from application.measurement import correction_parking
from application.operations import command_parking
from application.operations.dead_letter_sla import OVERDUE, overdue_subject
from application.operations.open_items import open_dead_letters
from application.ports.dispatch.work_queue import BmsWork
from application.ports.operations.alerts import AlertRegistry, every_open_alert
from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterDecided,
    DeadLetterQueue,
    DeadLetters,
)
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
from domain.event_sourcing.decoders import json_decoder

CLOCKS_DIFFER = timedelta(days=1)
"""The most that the clock of the process that parked a letter may be ahead of ours."""


def discard(
    dead_letter_id: UUID,
    letters: DeadLetters,
    alerts: AlertRegistry,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> DeadLetter:
    """Discard a letter: its work is never done. If the decision is not recorded, no alert ends.

    Raises DeadLetterNotFound, DeadLetterDecided, ReasonRequired or OperationsUnavailable.
    """
    act = decision_act([dead_letter_id], "discarded", by=by, at=at)
    letter = letters.decide(dead_letter_id, status="discarded", by=by, reason=reason, at=at, act=act)
    clear_alerts_of(letter, letters, alerts, at=at)
    return letter


def discard_queue(
    queue: DeadLetterQueue,
    letters: DeadLetters,
    alerts: AlertRegistry,
    *,
    parked_by: datetime | None,
    by: str,
    reason: str,
    at: datetime,
) -> int:
    """Discard every open letter of a queue, `parked_by` a moment or ever, each with an act of its own; returns their
    number.

    A letter that is decided in the meantime keeps its decision. Alerts end last, of what was discarded: to look for
    other letters of the same subject after each would take longer with every letter. Raises ReasonRequired or
    OperationsUnavailable.
    """
    waiting = open_dead_letters(letters, parked_by=parked_by or at + CLOCKS_DIFFER, queues=(queue,))
    done: list[DeadLetter] = []
    try:
        for letter in list(waiting):
            with suppress(DeadLetterDecided):
                act = decision_act([letter.dead_letter_id], "discarded", by=by, at=at)
                done.append(
                    letters.decide(
                        letter.dead_letter_id, status="discarded", by=by, reason=reason, at=at, act=act
                    )
                )
    finally:
        for letter in {one.subject: one for one in done}.values():
            clear_alerts_of(letter, letters, alerts, at=at)
        for letter in done:
            alerts.clear(OVERDUE, overdue_subject(letter), at=at)
    return len(done)


def discard_of_dispatch(
    dr_event_id: UUID,
    facility_id: str,
    letters: DeadLetters,
    alerts: AlertRegistry,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> None:
    """Discard every open letter of a command of that dispatch: the dispatch is over, so none of them is
    executed.

    A letter that is decided in the meantime keeps its decision. Raises OperationsUnavailable.
    """
    waiting = open_dead_letters(letters, parked_by=at + CLOCKS_DIFFER, queues=("bms_command",))
    for letter in [one for one in waiting if one.subject == facility_id and _is_of(one, dr_event_id)]:
        with suppress(DeadLetterDecided):
            # Without an act: Dispatch.RestoredByHand, from which this follows, is the record.
            done = letters.decide(letter.dead_letter_id, status="discarded", by=by, reason=reason, at=at)
            clear_alerts_of(done, letters, alerts, at=at)


def decision_act(
    dead_letter_ids: Sequence[UUID], decision: Literal["replayed", "discarded"], *, by: str, at: datetime
) -> AdministrativeAct:
    """The record of one decision on at least one letter. It has no reason: that is free text, and stands beside the
    letter."""
    first = dead_letter_ids[0]
    provenance = Provenance(
        correlation_id=first,
        causation_id=first,
        actor=by,
        tenant=None,
        trace_id=first.hex,
        recorded_at=at,
    )
    return AdministrativeAct.decide_dead_letters(
        provenance, decision=decision, dead_letter_ids=dead_letter_ids
    )


def _is_of(letter: DeadLetter, dr_event_id: UUID) -> bool:
    """Whether the letter belongs to that DR event. A letter with an unreadable message belongs to none."""
    try:
        return json_decoder(BmsWork).decode(letter.body).dr_event_id == dr_event_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def clear_alerts_of(letter: DeadLetter, letters: DeadLetters, alerts: AlertRegistry, *, at: datetime) -> None:
    """Clear the alerts of a decided letter, unless another letter of its subject is still open."""
    alerts.clear(OVERDUE, overdue_subject(letter), at=at)
    if letter.queue == command_parking.QUEUE:
        if not letters.open_about(letter.subject, queue=letter.queue, limit=1):
            alerts.clear(command_parking.ALERT, letter.subject, at=at)
    elif letter.queue == correction_parking.QUEUE:
        if not letters.open_about(letter.subject, queue=letter.queue, limit=1):
            alerts.clear(correction_parking.ALERT, correction_parking.alert_subject(letter.subject), at=at)
    elif letter.queue == "telemetry_batch":
        _clear_poison_batch(letter, letters, alerts, at=at)
    elif letter.queue in {"callback", "bms_command"}:
        _clear_of_outside_call(letter, letters, alerts, at=at)


def _clear_of_outside_call(
    letter: DeadLetter, letters: DeadLetters, alerts: AlertRegistry, *, at: datetime
) -> None:
    """Of a letter that a utility or a building waits for."""
    waiting = open_dead_letters(letters, parked_by=at + CLOCKS_DIFFER, queues=(letter.queue,))
    if any(other.subject == letter.subject for other in waiting):
        return
    if letter.queue == "callback":
        alerts.clear("callback_undeliverable", letter.subject, at=at)
        return
    for alert in every_open_alert(alerts):
        if alert.name == "command_dead_lettered" and alert.subject.startswith(f"{letter.subject}/"):
            alerts.clear(alert.name, alert.subject, at=at)


def _clear_poison_batch(
    letter: DeadLetter, letters: DeadLetters, alerts: AlertRegistry, *, at: datetime
) -> None:
    """A letter is about one batch (`partition 5, sequence 17`), the alert about its partition."""
    partition = letter.subject.partition(",")[0]
    if not any(subject.startswith(f"{partition},") for subject in letters.open_subjects(letter.queue)):
        alerts.clear(correction_parking.ALERT, partition, at=at)
