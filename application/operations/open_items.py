"""All open dead letters, read page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue, DeadLetters

PAGE = 1_000
CLOCKS_DIFFER = timedelta(days=1)
"""The most that the clock of the process that parked a letter may be ahead of ours."""


def open_dead_letters(
    letters: DeadLetters, *, parked_by: datetime, queues: Sequence[DeadLetterQueue]
) -> Iterator[DeadLetter]:
    """Letters parked at that moment or before, the oldest first."""
    last: DeadLetter | None = None
    while page := letters.open_before(parked_by, queues=queues, after=last, limit=PAGE):
        yield from page
        last = page[-1]
