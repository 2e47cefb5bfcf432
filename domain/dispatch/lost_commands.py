"""Commands whose work was lost: issued long ago, and still without an outcome; pure functions.

A command is recorded first and put on the work queue afterwards. A queue that loses the message, in a power cut or when
it is purged or restored, leaves the command open in the log for ever. It is then issued again under the same id, and a
BMS that has carried it out before answers with its first answer.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.dispatch.state import CommandRecord, DispatchState

REISSUE_AFTER = timedelta(seconds=60)
"""The time without an outcome after which a command is issued again; each further issue doubles it."""
LONGEST_REISSUE_PAUSE = timedelta(minutes=5)
"""The upper limit of that time."""


def reissue_due(issued_at: datetime, issue: int) -> datetime:
    """When a command without an outcome is issued again, after its issue number `issue` at `issued_at`."""
    pause = REISSUE_AFTER * (1 << min(max(issue - 1, 0), 10))
    return issued_at + min(pause, LONGEST_REISSUE_PAUSE)


def overdue_commands(state: DispatchState, *, now: datetime) -> list[CommandRecord]:
    """The open commands that are due to be issued again, in the order of their requests.

    A command from a snapshot that does not say when it was issued counts as due.
    """
    return [
        record
        for record in state.commands.values()
        if record.state == "requested"
        and (record.issued_at is None or reissue_due(record.issued_at, record.issue) <= now)
    ]
