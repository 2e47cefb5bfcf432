"""Everything that is open in the registers of operations, however much it is: read page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from application.ports.operations.alerts import Alert, AlertRegistry
from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue, DeadLetters

PAGE = 1_000


def open_dead_letters(
    letters: DeadLetters, *, parked_by: datetime, queues: Sequence[DeadLetterQueue]
) -> Iterator[DeadLetter]:
    """Those parked at that moment or before, the oldest first."""
    last: DeadLetter | None = None
    while page := letters.open_before(parked_by, queues=queues, after=last, limit=PAGE):
        yield from page
        last = page[-1]


def every_open_alert(alerts: AlertRegistry) -> list[Alert]:
    """The newest first. The register has no pages: it is asked for more, until it does not give as much."""
    limit = PAGE
    while len(found := alerts.listed(limit=limit)) == limit:
        limit *= 2
    return found
