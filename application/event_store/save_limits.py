"""Limits of one save: a save holds the lock of the log while it is written, so every other save waits."""

from __future__ import annotations

from application.ports.event_store.event_store import ONE_DECISION, SaveBounds, SaveTooLarge

SHARED_TRANSACTION = ONE_DECISION
"""The most that saves in a shared transaction hold: larger ones would delay each other for little gain. A
larger save has a transaction of its own."""
EVENT_OVERHEAD_BYTES = 32
"""The id, version and lengths of one domain event."""


def check_save_size(count: int, size: int, bounds: SaveBounds) -> None:
    """`size`: bytes of the topics and states, and the overhead of each. Raises SaveTooLarge."""
    if count > bounds.domain_events or size > bounds.byte_count:
        raise SaveTooLarge(
            f"{count} domain events of {size} bytes in one save, "
            f"at most {bounds.domain_events} of {bounds.byte_count}: split the command"
        )
