"""EventStore and EventLog in memory, without faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic

from application.event_store.event_mapper import decode_domain_event, encode_state
from application.event_store.save_limits import EVENT_OVERHEAD_BYTES, check_save_size
from application.ports.event_store.event_log import LogEntry
from application.ports.event_store.event_store import (
    ONE_DECISION,
    IdempotencyKeyTaken,
    IdempotencyRecord,
    KeyWithoutDomainEvents,
    SaveBounds,
    SaveRequest,
    ScopedKey,
    StreamNotFound,
    TAggregate,
    VersionConflict,
    saved_one_by_one,
)
from domain.event_sourcing.aggregate import Aggregate, DomainEvent


class MemoryEventStore:
    """Stores the encoded events, and each aggregate after its last save for fast loading.

    The invariant `log_replays` checks that the two agree.
    """

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self._entries: list[LogEntry] = []
        self._versions: dict[UUID, int] = {}
        self._newest: dict[UUID, Aggregate[Any]] = {}
        self._replies: dict[tuple[str, str], IdempotencyRecord] = {}

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        newest = self._newest.get(stream_id)
        if newest is None:
            raise StreamNotFound(f"no {aggregate_class.__name__} {stream_id}")
        return newest.copy()  # type: ignore[return-value]

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        return {i: self.load(aggregate_class, i) for i in stream_ids if i in self._newest}

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        changed = [aggregate for aggregate in aggregates if aggregate.pending_events]
        pending: list[DomainEvent] = []
        for aggregate in changed:
            collected: Any = aggregate.collect_events()
            pending += collected
        stored = [_stored(domain_event) for domain_event in pending]
        self._check(pending, stored, idempotency, bounds)
        for domain_event, row in zip(pending, stored, strict=True):
            self._append(domain_event, row)
        for aggregate in changed:
            self._newest[aggregate.id] = aggregate.copy()
        if idempotency is not None:
            self._replies[idempotency.scope, idempotency.key] = idempotency

    def writes_newer_topics(self) -> bool:
        return True

    def save_each(self, savings: Sequence[SaveRequest]) -> list[Exception | None]:
        return saved_one_by_one(self, savings)

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        return self._replies.get((scope, key))

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        return {key: self._replies[key] for key in keys if key in self._replies}

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        return self._entries[position : position + limit]

    def head(self) -> int:
        return len(self._entries)

    @property
    def newest(self) -> dict[UUID, Aggregate[Any]]:
        """Every aggregate after its last save."""
        return self._newest

    def _check(
        self,
        pending: Sequence[DomainEvent],
        stored: Sequence[StoredEvent],
        idempotency: IdempotencyRecord | None,
        bounds: SaveBounds,
    ) -> None:
        if not pending and idempotency is not None:
            raise KeyWithoutDomainEvents(f"nothing to save beside the key {idempotency.key!r}")
        size = sum(len(row.topic) + len(row.state) + EVENT_OVERHEAD_BYTES for row in stored)
        check_save_size(len(stored), size, bounds)
        if idempotency is not None and (idempotency.scope, idempotency.key) in self._replies:
            raise IdempotencyKeyTaken(idempotency.key)
        versions: dict[UUID, int] = {}
        for domain_event in pending:
            stream = domain_event.originator_id
            known = versions.get(stream, self._versions.get(stream, 0))
            if domain_event.originator_version != known + 1:
                raise VersionConflict(f"stream {stream} is at version {known}")
            versions[stream] = known + 1

    def _append(self, domain_event: DomainEvent, row: StoredEvent) -> None:
        self._versions[domain_event.originator_id] = domain_event.originator_version
        self._entries.append(LogEntry(len(self._entries) + 1, row.topic, domain_event))
        self.stored.append(row)


def _stored(domain_event: DomainEvent) -> StoredEvent:
    return StoredEvent(
        originator_id=domain_event.originator_id,
        originator_version=domain_event.originator_version,
        topic=get_topic(type(domain_event)),
        state=encode_state(domain_event),
    )


def replayed(stored: Sequence[StoredEvent]) -> dict[UUID, Any]:
    """Every aggregate, folded from the stored events."""
    aggregates: dict[UUID, Any] = {}
    for row in stored:
        domain_event = decode_domain_event(row.topic, row.originator_id, row.originator_version, row.state)
        stream_id = domain_event.originator_id
        aggregates[stream_id] = domain_event.mutate(aggregates.get(stream_id))
    return aggregates
