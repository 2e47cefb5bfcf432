"""The event store as the write side uses it: load aggregates, and save them together with an idempotency
key."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import Aggregate

TAggregate = TypeVar("TAggregate", bound=Aggregate[Any])
ScopedKey = tuple[str, str]
"""(scope, key) of an idempotency key."""


class IdempotencyRecord(msgspec.Struct, frozen=True):
    """The first reply to a key, stored in the same transaction as the domain events."""

    scope: str
    key: str
    body_hash: str
    reply: bytes


class VersionConflict(Exception):
    """Another process saved to one of the streams first. Nothing was saved. Load the aggregates and decide
    again."""


class IdempotencyKeyTaken(Exception):
    """Another process stored that key first. Nothing was saved. Return the reply it stored."""


class KeyWithoutDomainEvents(ValueError):
    """An idempotency key was to be stored without domain events: the aggregates have nothing pending. Load
    them again."""


class SaveTooLarge(ValueError):
    """A save holds more domain events or bytes than allowed. Nothing was saved. Split the command."""


class SaveBounds(NamedTuple):
    """The largest allowed save: it holds the lock of the log while it is written, so every other save waits."""

    domain_events: int
    byte_count: int
    """Of the topics and states, and EVENT_OVERHEAD_BYTES for each domain event."""

    def check(self, domain_events: int, byte_count: int) -> None:
        """Raises SaveTooLarge."""
        if domain_events > self.domain_events or byte_count > self.byte_count:
            raise SaveTooLarge(
                f"{domain_events} domain events of {byte_count} bytes in one save, "
                f"at most {self.domain_events} of {self.byte_count}: split the command"
            )


EVENT_OVERHEAD_BYTES = 32
"""The id, version and lengths of one domain event."""
ONE_DECISION = SaveBounds(500, 128 * 1024)
WHOLE_DR_EVENT = SaveBounds(5_000, 8 * 1024 * 1024)
"""A decision over all facilities of a DR event cannot be split. A DR event over 2,000 facilities, the most
that the webhook accepts, is accepted, planned and modified in one save each."""


class StreamNotFound(LookupError):
    """No domain event was ever recorded in that stream."""


class EventStoreUnavailable(Exception):
    """The event store cannot be reached, or did not answer in time. It is unknown whether anything was
    saved."""


class SaveRequest(NamedTuple):
    """The arguments of one `save`."""

    aggregates: Sequence[Aggregate[Any]]
    idempotency: IdempotencyRecord | None = None
    bounds: SaveBounds = ONE_DECISION


class EventStreams(Protocol):
    """Read access to streams of domain events (synchronous)."""

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        """The aggregate as recorded. Raises StreamNotFound."""
        ...

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        """Like `load`, for many streams at one moment and in one round trip. Streams that do not exist are
        left out."""
        ...


class EventStore(EventStreams, Protocol):
    """Streams of domain events, and the idempotency keys that are stored with them (synchronous)."""

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        """Save all pending domain events in one transaction, or none.

        Raises VersionConflict, IdempotencyKeyTaken, KeyWithoutDomainEvents, SaveTooLarge, ClockSkewed
        or EventStoreUnavailable. A failed save empties the aggregates: load them again.
        """
        ...

    def save_each(self, savings: Sequence[SaveRequest]) -> list[Exception | None]:
        """Save each request like `save`, independently of the others, in as few transactions as possible.

        The result has, for each request, the error that `save` would have raised, or None if it was saved.
        """
        ...

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        """The stored reply of that key, if there is one."""
        ...

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        """The stored replies of at least those of `keys` that have one; one round trip."""
        ...
