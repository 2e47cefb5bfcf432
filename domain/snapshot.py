"""Typed snapshots: an aggregate's state struct at one version, so that long streams load in constant time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, get_args
from uuid import UUID

import msgspec
from eventsourcing.domain import CanSnapshotAggregate
from eventsourcing.utils import get_topic, register_topic, resolve_topic

from domain.event_sourcing import Aggregate


class Snapshot(
    msgspec.Struct, CanSnapshotAggregate[UUID], frozen=True, kw_only=True, rename={"timestamp": "recorded_at"}
):
    """The state after `originator_version`; `timestamp` is when that version was recorded."""

    TOPIC: ClassVar[str] = "snapshot.v1"

    originator_id: UUID
    originator_version: int
    timestamp: datetime
    created_on: datetime
    topic: str
    """The aggregate's topic."""
    state: msgspec.Raw

    @classmethod
    def take(cls, aggregate: Any) -> Snapshot:
        return cls(
            originator_id=aggregate.id,
            originator_version=aggregate.version,
            timestamp=aggregate.modified_on,
            created_on=aggregate.created_on,
            topic=get_topic(type(aggregate)),
            state=msgspec.Raw(msgspec.json.encode(aggregate.state)),
        )

    def mutate(self, _: None) -> Aggregate[Any]:
        """The aggregate as it was."""
        kind: type[Aggregate[Any]] = resolve_topic(self.topic)
        aggregate = kind.__new__(kind)
        aggregate.__base_init__(self.originator_id, self.originator_version, self.created_on.astimezone(UTC))
        aggregate.modified_on = self.timestamp
        aggregate.__dict__["_state"] = msgspec.json.decode(self.state, type=state_type(kind))
        return aggregate


# The library registers the topics of aggregates and their domain events by itself, but not this one.
register_topic(Snapshot.TOPIC, Snapshot)


def state_type(kind: type[Aggregate[Any]]) -> type[msgspec.Struct]:
    """The state struct of an aggregate class, from `Aggregate[State]`."""
    for base in kind.__orig_bases__:  # type: ignore[attr-defined]
        for argument in get_args(base):
            if isinstance(argument, type) and issubclass(argument, msgspec.Struct):
                return argument
    raise TypeError(f"{kind.__name__} must derive from Aggregate[<its state struct>]")
