"""How much one save may hold: the lock of the log is held while it is written, and everybody waits."""

from __future__ import annotations

from application.ports.event_store.event_store import ONE_DECISION, SaveBounds, SaveTooLarge

SHARED_TRANSACTION = ONE_DECISION
"""What saves share a transaction: more would make each of them wait longer than it gains. A larger save has its own."""
EVENT_OVERHEAD_BYTES = 32
"""Of a domain event: its id, its version and the lengths."""


def check_save_size(count: int, size: int, bounds: SaveBounds) -> None:
    """`size`: bytes of the topics and states, and the overhead of each. Raises SaveTooLarge."""
    if count > bounds.domain_events or size > bounds.byte_count:
        raise SaveTooLarge(
            f"{count} domain events of {size} bytes in one save, "
            f"at most {bounds.domain_events} of {bounds.byte_count}: split the command"
        )
