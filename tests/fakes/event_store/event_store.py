"""EventStore and EventLog in memory. Events are stored in their stored form, by the real mapper."""

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic

from application.event_store.event_mapper import UnreadableDomainEvent, decode_domain_event, encode_state
from application.event_store.newer_topics import storable
from application.event_store.save_limits import EVENT_OVERHEAD_BYTES, check_save_size
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
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


class FakeEventStore:
    def __init__(self, *, with_newer_topics: bool = True) -> None:
        self.with_newer_topics = with_newer_topics
        self._log: list[StoredEvent] = []
        self._replies: dict[tuple[str, str], IdempotencyRecord] = {}
        self._lock = RLock()

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        aggregate: Any = None
        with self._lock:
            stream = [stored for stored in self._log if stored.originator_id == stream_id]
        for stored in stream:
            aggregate = _decoded(stored).mutate(aggregate)
        if aggregate is None:
            raise StreamNotFound(f"no {aggregate_class.__name__} {stream_id}")
        loaded: TAggregate = aggregate
        return loaded

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        with self._lock:
            recorded = {stored.originator_id for stored in self._log}
            return {i: self.load(aggregate_class, i) for i in dict.fromkeys(stream_ids) if i in recorded}

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        pending = [
            domain_event for aggregate in aggregates for domain_event in _collected(aggregate)
        ]  # emptied in any case, like the real one
        if not pending:
            if idempotency is not None:
                raise KeyWithoutDomainEvents(f"nothing to save beside the key {idempotency.key!r}")
            return
        stored = [
            storable(_stored(domain_event), with_newer_topics=self.with_newer_topics)
            for domain_event in pending
        ]
        size = sum(len(item.topic) + len(item.state) + EVENT_OVERHEAD_BYTES for item in stored)
        check_save_size(len(stored), size, bounds)
        with self._lock:
            if idempotency is not None and (idempotency.scope, idempotency.key) in self._replies:
                raise IdempotencyKeyTaken(idempotency.key)
            self._append(stored)
            if idempotency is not None:
                self._replies[idempotency.scope, idempotency.key] = idempotency

    def writes_newer_topics(self) -> bool:
        return self.with_newer_topics

    def save_each(self, savings: Sequence[SaveRequest]) -> list[Exception | None]:
        return saved_one_by_one(self, savings)

    def append(self, domain_events: Sequence[DomainEvent]) -> None:
        """Append a history to the log. Raises VersionConflict."""
        with self._lock:
            self._append([_stored(domain_event) for domain_event in domain_events])

    def append_unknown_topic(self, stream_id: UUID) -> None:
        """A newer release writes to that stream: this one can no longer read it."""
        with self._lock:
            version = sum(1 for stored in self._log if stored.originator_id == stream_id) + 1
            self._append([StoredEvent(stream_id, version, "moon-phase-noted.v1", b"{}")])

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        return self._replies.get((scope, key))

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        return {key: self._replies[key] for key in keys if key in self._replies}

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        return [
            _entry(number, stored)
            for number, stored in enumerate(self._log[position : position + limit], start=position + 1)
        ]

    def head(self) -> int:
        return len(self._log)

    @property
    def domain_events(self) -> list[DomainEvent]:
        """Everything recorded, in order."""
        return [entry.domain_event for entry in self.read_after(0, self.head())]

    def _append(self, stored: Sequence[StoredEvent]) -> None:
        taken = {(known.originator_id, known.originator_version) for known in self._log}
        for new in stored:
            place = (new.originator_id, new.originator_version)
            if place in taken:
                raise VersionConflict(f"{new.topic} is not the first of version {place[1]} in its stream")
            taken.add(place)
        self._log += stored


def _collected(aggregate: Aggregate[Any]) -> Sequence[DomainEvent]:
    collected: Any = aggregate.collect_events()
    return list(collected)


def _entry(position: int, stored: StoredEvent) -> LogEntry:
    try:
        return LogEntry(position, stored.topic, _decoded(stored))
    except UnreadableDomainEvent as error:
        raise LogEntryUnreadable(position, stored.topic, str(error)) from error


def _stored(domain_event: DomainEvent) -> StoredEvent:
    return StoredEvent(
        originator_id=domain_event.originator_id,
        originator_version=domain_event.originator_version,
        topic=get_topic(type(domain_event)),
        state=encode_state(domain_event),
    )


def _decoded(stored: StoredEvent) -> DomainEvent:
    return decode_domain_event(stored.topic, stored.originator_id, stored.originator_version, stored.state)
