"""Amounts that are stored for each utility in a day, counted over all processes."""

from datetime import date
from typing import Literal, Protocol

UsageKind = Literal["stored_bytes", "unknown_cancellations"]


class DailyUsage(Protocol):
    """The counters (synchronous). Every method raises OperationsUnavailable."""

    def add(self, utility_id: str, kind: UsageKind, amount: int, *, day: date, most: int) -> bool:
        """Count `amount` on that UTC day, unless more than `most` would be counted then; whether it was counted.

        Counters of earlier days are forgotten.
        """
        ...
