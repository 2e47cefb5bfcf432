"""Deletion of old idempotency keys."""

from datetime import timedelta
from typing import Protocol


class IdempotencyRetention(Protocol):
    """Synchronous. Every method raises EventStoreUnavailable."""

    def drop(self, kept: timedelta, *, most: int) -> int:
        """Delete up to `most` keys stored longer than `kept` of wall time ago, at least a day; how many there were.

        Keys stay while the relay may repeat the commands that they belong to.
        """
        ...
