"""Base classes of aggregates and domain events: provenance, stable topics, and state as one frozen struct.

An aggregate keeps its whole state in one frozen struct (`state`). A domain event computes the next state by a
pure function (`evolve`). The aggregate's public methods decide and then record; decisions of other modules are pure
functions, which the aggregate's class binds to method names (`decision`). A snapshot stores the same struct.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from functools import wraps
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar, cast
from uuid import UUID, uuid5

import msgspec
from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate

TState = TypeVar("TState", bound=msgspec.Struct)
TAnswer = TypeVar("TAnswer")
TFacts = ParamSpec("TFacts")


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of a domain event: who, on whose behalf, caused by what, and when. It is data, so decisions
    can be replayed.
    """

    correlation_id: UUID
    """Shared by everything that follows from one notification."""
    causation_id: UUID
    """The command or domain event that led to this one."""
    actor: str
    """Who decided: `utility:<id>`, `operator:<key id>`, `worker:<name>`, `saga:dispatch`."""
    tenant: str | None
    """The utility concerned, if there is one."""
    trace_id: str
    """W3C trace id, 32 hex digits."""
    recorded_at: datetime
    """UTC."""


def domain_event_id(originator_id: UUID, originator_version: int) -> UUID:
    """The id of a domain event, derived from its stream and its version."""
    return uuid5(originator_id, str(originator_version))


class DomainEvent(
    msgspec.Struct, CanMutateAggregate[UUID], frozen=True, kw_only=True, rename={"timestamp": "recorded_at"}
):
    """A recorded fact. `timestamp` (stored as `recorded_at`) is the time of recording, UTC."""

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
        """Set the aggregate's next state; called by the library."""
        aggregate.__dict__["_state"] = self.evolve(aggregate.state)

    def _as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


PendingEvent = tuple[type[DomainEvent], dict[str, Any]]
"""The class of a domain event to record, and its fields."""
Decision = Generator[PendingEvent, TState, TAnswer]
"""Yields the domain events to record, and is sent the state after each. It changes nothing itself."""


def pending(domain_event_class: type[DomainEvent], **fields: Any) -> PendingEvent:
    return domain_event_class, fields


class CreationEvent(CanInitAggregate[UUID]):
    """Mixin of the first domain event of a stream: `class Opened(CreationEvent, Event)`.

    It has no fields, because two structs with fields cannot be combined. Each creation event therefore
    declares `originator_topic` itself.
    """

    def initial_state(self) -> Any:
        """The first state of the stream; pure."""
        raise NotImplementedError

    def apply(self, aggregate: Any) -> None:
        """Set the aggregate's first state; called by the library."""
        aggregate.__dict__["_state"] = self.initial_state()


def state_after(state: Any, domain_event: Any) -> Any:
    """The state of a stream after its next domain event; `state` is None before the first one. To be used with
    `functools.reduce`."""
    return (
        domain_event.initial_state()
        if isinstance(domain_event, CreationEvent)
        else domain_event.evolve(state)
    )


class Aggregate(BaseAggregate[UUID], Generic[TState]):
    """An aggregate whose whole state is one frozen struct, `state`."""

    @property
    def state(self) -> TState:
        """The state after all recorded domain events."""
        return cast("TState", self.__dict__["_state"])

    def copy(self) -> Self:
        """Another aggregate with the same state and without pending events; the immutable state is shared."""
        copy: Self = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__["_pending_events"] = []
        return copy

    class Event(DomainEvent, frozen=True, kw_only=True):
        """The base of every domain event."""

        TOPIC: ClassVar[str] = "aggregate.event"

    def record(self, domain_event_class: type[DomainEvent], provenance: Provenance, **fields: Any) -> None:
        """Append a domain event with the given fields and provenance."""
        self.trigger_event(domain_event_class, **fields, **_provenance_fields(provenance))

    def record_all(self, provenance: Provenance, decided: Decision[TState, TAnswer]) -> TAnswer:
        """Record what a decision yields; returns its answer."""
        try:
            domain_event_class, fields = next(decided)
            while True:
                self.record(domain_event_class, provenance, **fields)
                domain_event_class, fields = decided.send(self.state)
        except StopIteration as end:
            return cast("TAnswer", end.value)

    @classmethod
    def open_stream(
        cls, stream_id: UUID, creation_class: type[CreationEvent], provenance: Provenance, **fields: Any
    ) -> Self:
        """Begin the stream `stream_id` with its creation event."""
        return cls._create(creation_class, id=stream_id, **fields, **_provenance_fields(provenance))


def decision(
    decide: Callable[Concatenate[TState, TFacts], Decision[TState, TAnswer]],
) -> Callable[Concatenate[Any, Provenance, TFacts], TAnswer]:
    """A method of an aggregate, `method(provenance, ...)`, that records what `decide(state, ...)` decides."""

    @wraps(decide)
    def method(
        aggregate: Aggregate[TState], provenance: Provenance, /, *args: TFacts.args, **facts: TFacts.kwargs
    ) -> TAnswer:
        return aggregate.record_all(provenance, decide(aggregate.state, *args, **facts))

    return method


def timed_decision(
    decide: Callable[Concatenate[TState, datetime, TFacts], Decision[TState, TAnswer]],
) -> Callable[Concatenate[Any, Provenance, TFacts], TAnswer]:
    """Like `decision`, of `decide(state, now, ...)`: the time of recording is one of its facts."""

    @wraps(decide)
    def method(
        aggregate: Aggregate[TState], provenance: Provenance, /, *args: TFacts.args, **facts: TFacts.kwargs
    ) -> TAnswer:
        return aggregate.record_all(
            provenance, decide(aggregate.state, provenance.recorded_at, *args, **facts)
        )

    return method


def _provenance_fields(provenance: Provenance) -> dict[str, Any]:
    return {
        "timestamp": provenance.recorded_at,
        "correlation_id": provenance.correlation_id,
        "causation_id": provenance.causation_id,
        "actor": provenance.actor,
        "tenant": provenance.tenant,
        "trace_id": provenance.trace_id,
    }
