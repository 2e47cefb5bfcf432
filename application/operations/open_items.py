"""All open items in the registers of operations, read page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from application.ports.operations.alerts import Alert, AlertRegistry
from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue, DeadLetters

PAGE = 1_000


def open_dead_letters(
    letters: DeadLetters, *, parked_by: datetime, queues: Sequence[DeadLetterQueue]
) -> Iterator[DeadLetter]:
    """Letters parked at that moment or before, the oldest first."""
    last: DeadLetter | None = None
    while page := letters.open_before(parked_by, queues=queues, after=last, limit=PAGE):
        yield from page
        last = page[-1]


def every_open_alert(alerts: AlertRegistry) -> list[Alert]:
    """Open alerts, the newest first. The register has no pages, so the limit grows until it is not reached."""
    limit = PAGE
    while len(found := alerts.listed(limit=limit)) == limit:
        limit *= 2
    return found
