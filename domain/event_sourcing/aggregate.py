"""The base of every aggregate and domain event: provenance, stable topics, state as one frozen struct.

An aggregate keeps its whole state in one frozen struct (`state`). A domain event knows how it evolves that
struct (`evolve`), a pure function; the aggregate's public methods decide and then record. The same struct is
what a typed snapshot stores.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar, cast
from uuid import UUID, uuid5

import msgspec
from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate

TState = TypeVar("TState", bound=msgspec.Struct)


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Who caused a domain event, on behalf of whom, and when: data, so that every decision can be replayed."""

    correlation_id: UUID
    """One per story: everything that followed from one notification shares it."""
    causation_id: UUID
    """The command or domain event that led to this one."""
    actor: str
    """Who decided: `utility:<id>`, `operator:<key id>`, `worker:<name>`, `saga:dispatch`."""
    tenant: str | None
    """The utility it concerns, where there is one."""
    trace_id: str
    """W3C trace id, 32 hex digits."""
    recorded_at: datetime
    """UTC."""


def domain_event_id(originator_id: UUID, originator_version: int) -> UUID:
    """The id of a domain event, derived from its place: its stream and its version in it."""
    return uuid5(originator_id, str(originator_version))


class DomainEvent(
    msgspec.Struct, CanMutateAggregate[UUID], frozen=True, kw_only=True, rename={"timestamp": "recorded_at"}
):
    """A recorded fact. `timestamp` (stored as `recorded_at`) is when it was recorded, UTC."""

    originator_id: UUID
    originator_version: int
    timestamp: datetime
    correlation_id: UUID
    causation_id: UUID
    actor: str
    tenant: str | None
    trace_id: str

    @property
    def recorded_at(self) -> datetime:
        return self.timestamp

    @property
    def domain_event_id(self) -> UUID:
        return domain_event_id(self.originator_id, self.originator_version)

    def evolve(self, state: Any) -> Any:
        """The state after this domain event, given the state before; pure."""
        return state

    def apply(self, aggregate: Any) -> None:
        aggregate.__dict__["_state"] = self.evolve(aggregate.state)

    def _as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


class CreationEvent(CanInitAggregate[UUID]):
    """Makes a domain event the first of its stream: `class Opened(CreationEvent, Event)`.

    A mixin without fields, since two structs with fields cannot be joined; each creation event therefore declares
    `originator_topic` itself.
    """

    def initial_state(self) -> Any:
        """The state that this creation begins with; pure."""
        raise NotImplementedError

    def apply(self, aggregate: Any) -> None:
        aggregate.__dict__["_state"] = self.initial_state()


class Aggregate(BaseAggregate[UUID], Generic[TState]):
    """An aggregate whose whole state is one frozen struct, `state`."""

    @property
    def state(self) -> TState:
        """What the recorded domain events add up to."""
        return cast("TState", self.__dict__["_state"])

    def twin(self) -> Self:
        """Another object of the same state, with nothing pending: the state is one frozen struct."""
        twin: Self = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.__dict__["_pending_events"] = []
        return twin

    class Event(DomainEvent, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "aggregate.event"

    def record(self, domain_event_class: type[DomainEvent], provenance: Provenance, **facts: Any) -> None:
        """Append a domain event that states `facts`, with its whole provenance."""
        self.trigger_event(domain_event_class, **facts, **_provenance_fields(provenance))

    @classmethod
    def open_stream(
        cls, stream_id: UUID, creation_class: type[CreationEvent], provenance: Provenance, **facts: Any
    ) -> Self:
        """Begin the stream `stream_id` with its creation event."""
        return cls._create(creation_class, id=stream_id, **facts, **_provenance_fields(provenance))


def _provenance_fields(provenance: Provenance) -> dict[str, Any]:
    return {
        "timestamp": provenance.recorded_at,
        "correlation_id": provenance.correlation_id,
        "causation_id": provenance.causation_id,
        "actor": provenance.actor,
        "tenant": provenance.tenant,
        "trace_id": provenance.trace_id,
    }
