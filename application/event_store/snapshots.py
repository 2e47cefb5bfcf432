"""Snapshots as aggregates are loaded from them: one that this release cannot read is passed over, never misread."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from eventsourcing.persistence import EventStore

from application.event_store.event_mapper import UnreadableDomainEvent
from domain.event_sourcing.snapshot import Snapshot

NEWEST = 8
"""So many are looked at: two releases side by side may take turns. Past them the stream is replayed from its events."""


class ReadableSnapshots(EventStore[UUID]):
    """The stream then is replayed from an older snapshot or its beginning, and the next interval takes a new one."""

    def get(
        self,
        originator_id: UUID,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Iterator[Any]:
        """Those whose state has the shape that this release gives it."""
        found = 0
        for stored in self.recorder.select_events(originator_id, gt=gt, lte=lte, desc=desc, limit=NEWEST):
            try:
                snapshot = self.mapper.to_domain_event(stored)
            except UnreadableDomainEvent:
                continue  # of a newer release: the domain events say the same
            if isinstance(snapshot, Snapshot) and snapshot.is_readable:
                yield snapshot
                found += 1
                if found == limit:
                    return
