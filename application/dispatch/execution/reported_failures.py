"""Whether somebody was told of a failing restore already: what goes on failing is one dead letter, not one a round."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from application.operations.dead_letter_decisions import CLOCKS_DIFFER
from application.operations.open_items import every_open_letter
from application.ports.dispatch.work_queue import BmsWork
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from domain.dispatch import BmsCommand, DispatchState
from domain.event_sourcing.json_decoders import json_decoder


def has_open_dead_letter(
    letters: DeadLetters, dispatch: DispatchState, command: BmsCommand, *, now: datetime
) -> bool:
    """Whether a letter of this zone and phase of the dispatch is open, in whatever round."""
    rounds = {
        record.command.command_id
        for record in dispatch.commands.values()
        if (record.command.zone_id, record.command.phase) == (command.zone_id, command.phase)
    }
    waiting = every_open_letter(letters, parked_by=now + CLOCKS_DIFFER, queues=("bms_command",))
    return any(letter.subject == dispatch.facility_id and _command_of(letter) in rounds for letter in waiting)


def _command_of(letter: DeadLetter) -> UUID | None:
    """None: a message that could not be read, or no command."""
    try:
        return json_decoder(BmsWork).decode(letter.body).command_id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
