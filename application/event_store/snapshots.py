"""Reading of snapshots: a snapshot that this release cannot read is skipped."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from eventsourcing.persistence import EventStore

from application.event_store.event_mapper import UnreadableDomainEvent
from domain.event_sourcing.snapshot import Snapshot

NEWEST = 8
"""The number of snapshots examined: two releases side by side may write them alternately. Beyond these the
stream is replayed from its events."""


class ReadableSnapshots(EventStore[UUID]):
    """Skips unreadable snapshots. The stream is then replayed from an older snapshot or from its beginning,
    and the next interval takes a new one."""

    def get(
        self,
        originator_id: UUID,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Iterator[Any]:
        """The snapshots whose state has the shape of this release."""
        found = 0
        for stored in self.recorder.select_events(originator_id, gt=gt, lte=lte, desc=desc, limit=NEWEST):
            try:
                snapshot = self.mapper.to_domain_event(stored)
            except UnreadableDomainEvent:
                continue  # Of a newer release; the domain events contain the same.
            if isinstance(snapshot, Snapshot) and snapshot.is_readable:
                yield snapshot
                found += 1
                if found == limit:
                    return
