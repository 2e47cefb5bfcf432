"""The event store as it stood when a batch of commands was begun: what each will ask for was read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import msgspec

from application.commands.dispatch import CommitDispatch, DispatchCommand, PrepareDispatch
from application.deciding import IdempotencyKey
from application.event_mapper import UnreadableDomainEvent
from application.ports.event_store import (
    ONE_DECISION,
    EventStore,
    EventStoreUnavailable,
    IdempotencyRecord,
    SaveBounds,
    Saving,
    ScopedKey,
    TAggregate,
)
from domain.event_sourcing import Aggregate
from domain.identifiers import dispatch_id, facility_stream_id


def streams_of(command: msgspec.Struct) -> tuple[UUID, ...]:
    """What its handler will load, as far as that can be told: first the stream that it writes to."""
    if not isinstance(command, DispatchCommand):
        return ()
    streams = dispatch_id(command.dr_event_id, command.facility_id), command.dr_event_id
    if isinstance(command, PrepareDispatch | CommitDispatch):
        return *streams, facility_stream_id(command.facility_id)
    return streams


def read_ahead(
    store: EventStore, asked: Sequence[tuple[msgspec.Struct, IdempotencyKey | None]]
) -> EventStore:
    """Over what the handlers of those commands will ask for. A store that does not answer now is asked by each."""
    streams = {stream: None for command, _ in asked for stream in streams_of(command)}
    keys = [(key.scope, key.key) for _, key in asked if key is not None]
    try:
        aggregates = store.load_many(Aggregate, list(streams)) if streams else {}
        replies = store.find_replies(keys) if keys else {}
    except (EventStoreUnavailable, UnreadableDomainEvent):
        return store
    return ReadAhead(store, aggregates, {key: replies.get(key) for key in keys})


class ReadAhead:
    """An EventStore. What was not read ahead is asked of the store itself, and so is every save."""

    def __init__(
        self,
        store: EventStore,
        aggregates: Mapping[UUID, Aggregate[Any]],
        replies: Mapping[ScopedKey, IdempotencyRecord | None],
    ) -> None:
        """`replies` has each key that was looked up, and None for one without a reply."""
        self._store = store
        self._aggregates = aggregates
        self._replies = replies

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        found = self._aggregates.get(stream_id)
        if found is None:
            return self._store.load(aggregate_class, stream_id)
        return cast("TAggregate", found.twin())

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        return self._store.load_many(aggregate_class, stream_ids)

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        self._store.save(aggregates, idempotency=idempotency, bounds=bounds)

    def save_each(self, savings: Sequence[Saving]) -> list[Exception | None]:
        return self._store.save_each(savings)

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        if (scope, key) in self._replies:
            return self._replies[scope, key]
        return self._store.find_reply(scope, key)

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        return self._store.find_replies(keys)
