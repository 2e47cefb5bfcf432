"""The event store as the write side uses it: load aggregates, save them together with an idempotency key."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import Aggregate

TAggregate = TypeVar("TAggregate", bound=Aggregate[Any])
ScopedKey = tuple[str, str]
"""Of an idempotency key: (scope, key)."""


class IdempotencyRecord(msgspec.Struct, frozen=True):
    """The first answer to a key, stored in the same transaction as the domain events."""

    scope: str
    key: str
    body_hash: str
    reply: bytes


class VersionConflict(Exception):
    """Another process saved to one of the streams first; nothing was saved. Load again and decide again."""


class IdempotencyKeyTaken(Exception):
    """Another process stored that key first; nothing was saved. Its answer is the answer."""


class KeyWithoutDomainEvents(ValueError):
    """An idempotency key was to be stored alone: the aggregates have nothing pending. Load them again."""


class SaveBounds(NamedTuple):
    """The most that one save may hold."""

    domain_events: int
    byte_count: int


ONE_DECISION = SaveBounds(500, 128 * 1024)
WHOLE_DR_EVENT = SaveBounds(5_000, 8 * 1024 * 1024)
"""A decision over every facility of a DR event cannot be split: one over 2,000 facilities, the most that the door
takes, is accepted, planned and modified in one save each."""


class SaveTooLarge(ValueError):
    """More domain events or bytes in one save than the store takes at once; nothing was saved. Split the command."""


class StreamNotFound(LookupError):
    """No domain event was ever recorded in that stream."""


class EventStoreUnavailable(Exception):
    """The event store cannot be reached, or did not answer in time; nothing is known to be saved."""


class SaveRequest(NamedTuple):
    """What `save` is asked for."""

    aggregates: Sequence[Aggregate[Any]]
    idempotency: IdempotencyRecord | None = None
    bounds: SaveBounds = ONE_DECISION


NOT_SAVED = (
    VersionConflict,
    IdempotencyKeyTaken,
    KeyWithoutDomainEvents,
    SaveTooLarge,
    EventStoreUnavailable,
)
"""What `save` raises."""


class EventStreams(Protocol):
    """Streams of domain events, to be read (synchronous)."""

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        """The aggregate as recorded. Raises StreamNotFound."""
        ...

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        """As `load`, of many streams at one moment and in one round trip; those never recorded are left out."""
        ...


class EventStore(EventStreams, Protocol):
    """Streams of domain events, and the keys that are stored with them (synchronous)."""

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        """Save all pending domain events in one transaction, or none.

        Raises VersionConflict, IdempotencyKeyTaken, KeyWithoutDomainEvents, SaveTooLarge or EventStoreUnavailable.
        A failed save has emptied the aggregates: load them again.
        """
        ...

    def save_each(self, savings: Sequence[SaveRequest]) -> list[Exception | None]:
        """Each as by `save` and whatever becomes of the others, in as few transactions as may be.

        What `save` would have raised for each, or None where it was saved.
        """
        ...

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        """The first answer to that key, if there is one."""
        ...

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        """At least those of `keys` that have one, in one round trip."""
        ...


def saved_one_by_one(store: EventStore, savings: Sequence[SaveRequest]) -> list[Exception | None]:
    """`save_each` of a store that has no better way."""
    return [_refusal(store, saving) for saving in savings]


def _refusal(store: EventStore, saving: SaveRequest) -> Exception | None:
    try:
        store.save(saving.aggregates, idempotency=saving.idempotency, bounds=saving.bounds)
    except NOT_SAVED as error:
        return error
    return None
