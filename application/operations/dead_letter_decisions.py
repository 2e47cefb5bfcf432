"""Decisions on dead letters. Their alerts end by themselves: they follow from the letters that are open."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from application.operations.open_items import CLOCKS_DIFFER, open_dead_letters
from application.ports.dispatch.requested_work import BmsWork
from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterDecided,
    DeadLetterQueue,
    DeadLetters,
)
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
from domain.event_sourcing.decoders import json_decoder


def discard(
    dead_letter_id: UUID,
    letters: DeadLetters,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> DeadLetter:
    """Discard a letter: its work is never done.

    Raises DeadLetterNotFound, DeadLetterDecided, ReasonRequired or OperationsUnavailable.
    """
    act = decision_act([dead_letter_id], "discarded", by=by, at=at)
    return letters.decide(dead_letter_id, status="discarded", by=by, reason=reason, at=at, act=act)


def discard_queue(
    queue: DeadLetterQueue,
    letters: DeadLetters,
    *,
    parked_by: datetime | None,
    by: str,
    reason: str,
    at: datetime,
) -> int:
    """Discard every open letter of a queue, `parked_by` a moment or ever, each with an act of its own; returns their
    number.

    A letter that is decided in the meantime keeps its decision. Raises ReasonRequired or OperationsUnavailable.
    """
    waiting = open_dead_letters(letters, parked_by=parked_by or at + CLOCKS_DIFFER, queues=(queue,))
    done = 0
    for letter in list(waiting):
        act = decision_act([letter.dead_letter_id], "discarded", by=by, at=at)
        with suppress(DeadLetterDecided):
            letters.decide(letter.dead_letter_id, status="discarded", by=by, reason=reason, at=at, act=act)
            done += 1
    return done


def discard_of_dispatch(
    dr_event_id: UUID,
    facility_id: str,
    letters: DeadLetters,
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
            letters.decide(letter.dead_letter_id, status="discarded", by=by, reason=reason, at=at)


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
    """True if the letter belongs to that DR event. A letter with an unreadable message belongs to none."""
    try:
        return json_decoder(BmsWork).decode(letter.body).dr_event_id == dr_event_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
