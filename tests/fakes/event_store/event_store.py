"""EventStore and EventLog in memory. Events are stored in their stored form, by the real mapper."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic

from application.event_store.event_mapper import UnreadableDomainEvent, decode_domain_event, encode_state
from application.event_store.open_work import open_work_of
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from application.ports.event_store.event_store import (
    EVENT_OVERHEAD_BYTES,
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
)
from domain.event_sourcing.aggregate import Aggregate, DomainEvent
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.saved_one_by_one import saved_one_by_one


class FakeEventStore:
    """Every domain event that is read or loaded was decoded from its stored form, once.

    Several threads may use it.
    """

    def __init__(self, *, open_work: FakeOpenWork | None = None) -> None:
        self.open_work = FakeOpenWork() if open_work is None else open_work
        """Has the rows for the intents of each save."""
        self.stored: list[StoredEvent] = []
        self._decoded: dict[int, DomainEvent] = {}
        """Index in `stored` -> the domain event."""
        self._aggregates: dict[UUID, Aggregate[Any]] = {}
        self._not_folded: defaultdict[UUID | str, deque[int]] = defaultdict(deque)
        """Stream -> the indices in `stored` of the domain events that its aggregate does not contain yet."""
        self._versions: set[tuple[UUID | str, int]] = set()
        self._replies: dict[tuple[str, str], IdempotencyRecord] = {}
        self._lock = RLock()

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        with self._lock:
            aggregate = self._folded(stream_id)
        if aggregate is None:
            raise StreamNotFound(f"no {aggregate_class.__name__} {stream_id}")
        loaded: Any = aggregate.copy()
        return cast("TAggregate", loaded)

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        with self._lock:
            recorded = [i for i in dict.fromkeys(stream_ids) if i in self._not_folded]
            return {i: self.load(aggregate_class, i) for i in recorded}

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        pending: list[DomainEvent] = [
            domain_event for aggregate in aggregates for domain_event in _collected(aggregate)
        ]  # emptied in any case, like the real one
        if not pending:
            if idempotency is not None:
                raise KeyWithoutDomainEvents(f"nothing to save beside the key {idempotency.key!r}")
            return
        stored = [_stored(domain_event) for domain_event in pending]
        size = sum(len(item.topic) + len(item.state) + EVENT_OVERHEAD_BYTES for item in stored)
        bounds.check(len(stored), size)
        with self._lock:
            if idempotency is not None and (idempotency.scope, idempotency.key) in self._replies:
                raise IdempotencyKeyTaken(idempotency.key)
            first = self.head() + 1
            self._append(stored)
            self.open_work.add((one.kind, one.queue, first + one.index) for one in open_work_of(pending))
            if idempotency is not None:
                self._replies[idempotency.scope, idempotency.key] = idempotency

    def save_each(self, savings: Sequence[SaveRequest]) -> list[Exception | None]:
        return saved_one_by_one(self, savings)

    def append(self, domain_events: Sequence[DomainEvent]) -> None:
        """Append a history to the log, which makes no open work. Raises VersionConflict."""
        with self._lock:
            self._append([_stored(domain_event) for domain_event in domain_events])

    def append_unknown_topic(self, stream_id: UUID) -> None:
        """A newer release writes to that stream: this one can no longer read it."""
        with self._lock:
            version = sum(1 for stored in self.stored if stored.originator_id == stream_id) + 1
            self._append([StoredEvent(stream_id, version, "moon-phase-noted.v1", b"{}")])

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        return self._replies.get((scope, key))

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        return {key: self._replies[key] for key in keys if key in self._replies}

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        with self._lock:
            end = min(position + limit, len(self.stored))
            return [self._entry(index) for index in range(position, end)]

    def head(self) -> int:
        return len(self.stored)

    @property
    def domain_events(self) -> list[DomainEvent]:
        """Everything recorded, in order."""
        return [entry.domain_event for entry in self.read_after(0, self.head())]

    def _append(self, stored: Sequence[StoredEvent]) -> None:
        versions = [(new.originator_id, new.originator_version) for new in stored]
        if len(set(versions)) < len(versions) or not self._versions.isdisjoint(versions):
            raise VersionConflict(f"one of {versions} is not the first of its version in its stream")
        self._versions.update(versions)
        for new in stored:
            self._not_folded[new.originator_id].append(len(self.stored))
            self.stored.append(new)

    def _folded(self, stream_id: UUID) -> Aggregate[Any] | None:
        """The aggregate of a stream. Raises UnreadableDomainEvent."""
        if stream_id not in self._not_folded:
            return None
        aggregate: Any = self._aggregates.get(stream_id)
        indices = self._not_folded[stream_id]
        while indices:
            aggregate = self._domain_event(indices[0]).mutate(aggregate)
            self._aggregates[stream_id] = aggregate
            indices.popleft()
        folded: Aggregate[Any] = aggregate
        return folded

    def _domain_event(self, index: int) -> DomainEvent:
        if index not in self._decoded:
            row = self.stored[index]
            self._decoded[index] = decode_domain_event(
                row.topic, row.originator_id, row.originator_version, row.state
            )
        return self._decoded[index]

    def _entry(self, index: int) -> LogEntry:
        position, topic = index + 1, self.stored[index].topic
        try:
            return LogEntry(position, topic, self._domain_event(index))
        except UnreadableDomainEvent as error:
            raise LogEntryUnreadable(position, topic, str(error)) from error


def _collected(aggregate: Aggregate[Any]) -> Sequence[DomainEvent]:
    collected: Any = aggregate.collect_events()
    return list(collected)


def _stored(domain_event: DomainEvent) -> StoredEvent:
    return StoredEvent(
        originator_id=domain_event.originator_id,
        originator_version=domain_event.originator_version,
        topic=get_topic(type(domain_event)),
        state=encode_state(domain_event),
    )
