"""How much one save may hold: the lock of the log is held while it is written, and everybody waits."""

from __future__ import annotations

from application.ports.event_store import SaveTooLarge

MAX_SAVE_EVENTS = 5_000
MAX_SAVE_BYTES = 8 * 1024 * 1024
"""A DR event over 2,000 facilities, the most that the door takes, is accepted, planned and modified in one save each:
about a quarter of a second under the lock."""
MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 128 * 1024
"""What saves share a transaction: more would make each of them wait longer than it gains. A larger save has its own."""
EVENT_OVERHEAD_BYTES = 32
"""Of a domain event: its id, its version and the lengths."""


def check_save_size(count: int, size: int) -> None:
    """`size`: bytes of the topics and states, and the overhead of each. Raises SaveTooLarge."""
    if count > MAX_SAVE_EVENTS or size > MAX_SAVE_BYTES:
        raise SaveTooLarge(
            f"{count} domain events of {size} bytes in one save, at most {MAX_SAVE_EVENTS} of {MAX_SAVE_BYTES}: "
            "split the command"
        )
