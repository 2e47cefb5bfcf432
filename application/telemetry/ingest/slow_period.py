"""Detection of slow periods: single fast operations do not end a slow period."""

import math

QUICK_AGAIN_AFTER_S = 5.0
"""Seconds without a slow operation after which the period ends."""


class SlowPeriod:
    """A slow period, in seconds of a monotonic clock."""

    __slots__ = ("_since", "_until")

    def __init__(self) -> None:
        self._since = self._until = -math.inf

    def note(self, since: float, until: float) -> None:
        """Record that something was slow from `since` to `until`."""
        is_another = since > self._until + QUICK_AGAIN_AFTER_S
        self._since = since if is_another else min(self._since, since)
        self._until = max(self._until, until)

    def since(self, at: float) -> float | None:
        """The start of the present slow period; None: nothing is slow."""
        return None if at > self._until + QUICK_AGAIN_AFTER_S else self._since
