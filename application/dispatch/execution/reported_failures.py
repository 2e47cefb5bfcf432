"""Commands with an open dead letter: a restore that keeps failing has one, and what waits for a person is not sent."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from application.operations.dead_letter_decisions import CLOCKS_DIFFER
from application.operations.open_items import open_dead_letters
from application.ports.dispatch.work_queue import BmsWork
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from domain.dispatch import BmsCommand, DispatchState
from domain.event_sourcing.decoders import json_decoder


def has_open_dead_letter(
    letters: DeadLetters, dispatch: DispatchState, command: BmsCommand, *, now: datetime
) -> bool:
    """Whether a dead letter of this zone and phase of the dispatch is open, whatever its round."""
    rounds = {
        record.command.command_id
        for record in dispatch.commands.values()
        if (record.command.zone_id, record.command.phase) == (command.zone_id, command.phase)
    }
    waiting = open_dead_letters(letters, parked_by=now + CLOCKS_DIFFER, queues=("bms_command",))
    return any(letter.subject == dispatch.facility_id and _command_of(letter) in rounds for letter in waiting)


def parked_commands(letters: DeadLetters, *, now: datetime) -> dict[UUID, datetime]:
    """The commands in open dead letters -> when the newest letter of each was parked.

    A command that was issued later is under way again: a failing restore keeps its first letter while it is retried.
    """
    waiting = open_dead_letters(letters, parked_by=now + CLOCKS_DIFFER, queues=("bms_command",))
    return {command_id: letter.parked_at for letter in waiting for command_id in _commands_of(letter)}


def _command_of(letter: DeadLetter) -> UUID | None:
    """The first command id of a dead letter; None where its body is unreadable or is not a command."""
    return next(iter(_commands_of(letter)), None)


def _commands_of(letter: DeadLetter) -> tuple[UUID, ...]:
    try:
        work = json_decoder(BmsWork).decode(letter.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ()
    return () if work.command_id is None else (work.command_id, *work.more)
