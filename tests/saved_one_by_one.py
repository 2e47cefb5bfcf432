"""`EventStore.save_each` without a batched save."""

from collections.abc import Sequence

from application.ports.clock import ClockSkewed
from application.ports.event_store.event_store import (
    EventStore,
    EventStoreUnavailable,
    IdempotencyKeyTaken,
    KeyWithoutDomainEvents,
    SaveRequest,
    SaveTooLarge,
    VersionConflict,
)

NOT_SAVED = (
    ClockSkewed,
    VersionConflict,
    IdempotencyKeyTaken,
    KeyWithoutDomainEvents,
    SaveTooLarge,
    EventStoreUnavailable,
)
"""The errors that `save` raises."""


def saved_one_by_one(store: EventStore, savings: Sequence[SaveRequest]) -> list[Exception | None]:
    """Save each request with a call of `save`."""
    return [_refusal(store, saving) for saving in savings]


def _refusal(store: EventStore, saving: SaveRequest) -> Exception | None:
    try:
        store.save(saving.aggregates, idempotency=saving.idempotency, bounds=saving.bounds)
    except NOT_SAVED as error:
        return error
    return None
