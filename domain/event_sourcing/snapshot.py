"""Typed snapshots: an aggregate's state at one version, so that long streams load in constant time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar, get_args
from uuid import UUID

import msgspec
from eventsourcing.domain import CanSnapshotAggregate
from eventsourcing.utils import get_topic, register_topic, resolve_topic

from domain.event_sourcing.aggregate import Aggregate
from domain.event_sourcing.decoders import json_decoder


class Snapshot(
    msgspec.Struct, CanSnapshotAggregate[UUID], frozen=True, kw_only=True, rename={"timestamp": "recorded_at"}
):
    """The state after `originator_version`; `timestamp` is the time at which that version was recorded."""

    TOPIC: ClassVar[str] = "snapshot.v1"

    originator_id: UUID
    originator_version: int
    timestamp: datetime
    created_on: datetime
    topic: str
    """The topic of the aggregate class."""
    state_schema: str = ""
    """`schema_of` the state when the snapshot was taken. A snapshot with another hash is not read."""
    state: msgspec.Raw

    @classmethod
    def take(cls, aggregate: Any) -> Snapshot:
        """A snapshot of the aggregate's current state."""
        return cls(
            originator_id=aggregate.id,
            originator_version=aggregate.version,
            timestamp=aggregate.modified_on,
            created_on=aggregate.created_on,
            topic=get_topic(type(aggregate)),
            state_schema=schema_of(aggregate.__class__),
            state=msgspec.Raw(msgspec.json.encode(aggregate.state)),
        )

    @property
    def is_readable(self) -> bool:
        """True if the state has the shape of this release; else the stream is replayed from its domain events."""
        kind: type[Aggregate[Any]] = resolve_topic(self.topic)
        return self.state_schema == schema_of(kind)

    def mutate(self, _: None) -> Aggregate[Any]:
        """The aggregate at this version; called by the library."""
        kind: type[Aggregate[Any]] = resolve_topic(self.topic)
        aggregate = kind.__new__(kind)
        aggregate.__base_init__(self.originator_id, self.originator_version, self.created_on.astimezone(UTC))
        aggregate.modified_on = self.timestamp
        aggregate.__dict__["_state"] = json_decoder(state_type(kind)).decode(self.state)
        return aggregate


# The library registers the topics of aggregates and their domain events, but not this one.
register_topic(Snapshot.TOPIC, Snapshot)


@cache
def schema_of(kind: type[Aggregate[Any]]) -> str:
    """A hash of the state's shape: names, types and defaults of its fields and of nested structs.

    A release that changes the meaning of the same fields must raise `STATE_VERSION` on the aggregate class.
    """
    schema = msgspec.json.schema(state_type(kind))
    version = getattr(kind, "STATE_VERSION", 1)
    described = msgspec.json.encode([version, _undescribed(schema)], order="sorted")
    return sha256(described).hexdigest()[:16]


def _undescribed(schema: Any) -> Any:
    """The schema without descriptions, so that docstrings do not change the hash."""
    if isinstance(schema, dict):
        return {
            key: _undescribed(value)
            for key, value in schema.items()
            if not (key == "description" and isinstance(value, str))
        }
    return [_undescribed(item) for item in schema] if isinstance(schema, list) else schema


def state_type(kind: type[Aggregate[Any]]) -> type[msgspec.Struct]:
    """The state struct of an aggregate class, taken from `Aggregate[State]`."""
    for base in kind.__orig_bases__:  # type: ignore[attr-defined]
        for argument in get_args(base):
            if isinstance(argument, type) and issubclass(argument, msgspec.Struct):
                return argument
    raise TypeError(f"{kind.__name__} must derive from Aggregate[<its state struct>]")
