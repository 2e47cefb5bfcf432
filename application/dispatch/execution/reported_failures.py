"""Commands with an open dead letter: a restore that keeps failing has one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from application.operations.open_items import CLOCKS_DIFFER, open_dead_letters
from application.ports.dispatch.requested_work import BmsWork
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from domain.dispatch import BmsCommand, DispatchState
from domain.event_sourcing.decoders import json_decoder


def has_open_dead_letter(
    letters: DeadLetters, dispatch: DispatchState, command: BmsCommand, *, now: datetime
) -> bool:
    """True if a dead letter of this zone and phase of the dispatch is open, whatever its round."""
    rounds = {
        record.command.command_id
        for record in dispatch.commands.values()
        if (record.command.zone_id, record.command.phase) == (command.zone_id, command.phase)
    }
    waiting = open_dead_letters(letters, parked_by=now + CLOCKS_DIFFER, queues=("bms_command",))
    return any(letter.subject == dispatch.facility_id and _command_of(letter) in rounds for letter in waiting)


def _command_of(letter: DeadLetter) -> UUID | None:
    """The command of a dead letter; None where its body is unreadable or is not a command."""
    try:
        return json_decoder(BmsWork).decode(letter.body).command_id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
