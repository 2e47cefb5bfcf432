"""Prefetching of the aggregates that the handlers of a batch of commands will load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import msgspec

from application.commands.dispatch import CommitDispatch, DispatchCommand, PrepareDispatch
from application.event_store.event_mapper import UnreadableDomainEvent
from application.ports.event_store.event_store import EventStreams, TAggregate
from domain.event_sourcing.aggregate import Aggregate
from domain.identifiers import dispatch_id, facility_stream_id


def streams_to_load(command: msgspec.Struct) -> tuple[UUID, ...]:
    """The streams that the command's handler will load, as far as they are certain; the first is the one it
    writes to."""
    if not isinstance(command, DispatchCommand):
        return ()
    streams = dispatch_id(command.dr_event_id, command.facility_id), command.dr_event_id
    if isinstance(command, PrepareDispatch | CommitDispatch):
        return *streams, facility_stream_id(command.facility_id)
    return streams


class PrefetchedStreams:
    """EventStreams over prefetched aggregates. Other streams are loaded from the store."""

    def __init__(self, store: EventStreams, commands: Sequence[msgspec.Struct]) -> None:
        """Prefetch the streams of `commands`. Raises EventStoreUnavailable. If one of the streams is
        unreadable, nothing is prefetched and each command loads its own."""
        self._store = store
        self._aggregates: Mapping[UUID, Aggregate[Any]] = {}
        streams = {stream: None for command in commands for stream in streams_to_load(command)}
        if streams:
            try:
                self._aggregates = store.load_many(Aggregate, list(streams))
            except UnreadableDomainEvent:
                return

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        found = self._aggregates.get(stream_id)
        if found is None:
            return self._store.load(aggregate_class, stream_id)
        return cast("TAggregate", found.copy())

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        found = {i: self._aggregates[i] for i in stream_ids if i in self._aggregates}
        if len(found) < len(stream_ids):  # all of them are to be of one moment
            return self._store.load_many(aggregate_class, stream_ids)
        return {stream_id: cast("TAggregate", one.copy()) for stream_id, one in found.items()}
