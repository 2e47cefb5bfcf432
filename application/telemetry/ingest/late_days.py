"""Quota for late days: how fast readings may open days of the past in the store (ADR 0069).

The store makes a partition for each UTC day of which there are readings. Timestamps come from devices: without a quota
one login makes a partition for every day that retention allows, within seconds. A meter that was offline and sends
what it stored needs a month at once.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

ALWAYS_OPEN = timedelta(days=2)
"""Days this young are open in any case: the store prepares them ahead."""
DAYS_AT_ONCE = 32
REFILL_S = 600.0
"""Wall seconds after which another day may be opened."""
MAX_OPEN_DAYS = 4_000
"""More than the longest retention of readings."""


class LateDayQuota:
    """Of one process; `now_s` is monotonic wall time. A day that is open stays open, for every facility."""

    def __init__(self, days_at_once: int = DAYS_AT_ONCE, refill_s: float = REFILL_S) -> None:
        self._days_at_once = days_at_once
        self._refill_s = refill_s
        self._left = float(days_at_once)
        self._at_s: float | None = None
        self._open: dict[date, None] = {}
        """The one opened last is the last."""

    def opens(self, moments: Iterable[datetime], *, now: datetime, now_s: float) -> bool:
        """Whether every day of `moments` (UTC) is open or can be opened now; then all of them are open."""
        days = {moment.date() for moment in moments if moment < now - ALWAYS_OPEN} - self._open.keys()
        if not days:
            return True
        self._refill(now_s)
        if len(days) > self._left:
            return False
        self._left -= len(days)
        self._open.update(dict.fromkeys(sorted(days)))
        while len(self._open) > MAX_OPEN_DAYS:
            del self._open[next(iter(self._open))]
        return True

    def _refill(self, now_s: float) -> None:
        passed_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._left = min(float(self._days_at_once), self._left + passed_s / self._refill_s)
