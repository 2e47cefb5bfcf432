"""The quota of each utility for a UTC day: how much may be stored for it.

Counted by utility and not by key, since a utility may have many keys. A process takes a part of the quota at a time, so
that hardly a request asks the store.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from application.ports.access.daily_usage import DailyUsage, UsageKind
from application.ports.clock import Clock

PARTS = 64
"""A process takes a 64th of a quota at once. What it does not use is lost when it ends."""


class DailyQuotas:
    """Called from several threads. Only authenticated utilities have entries, so there are few."""

    def __init__(self, usage: DailyUsage, clock: Clock, *, most: Mapping[UsageKind, int]) -> None:
        self._usage = usage
        self._clock = clock
        self._most = most
        self._day = date.min
        self._left: dict[tuple[str, UsageKind], int] = {}
        """What this process has taken and not used."""
        self._refused: dict[tuple[str, UsageKind], int] = {}
        """The smallest amount that was refused on that day; less may still be granted."""
        self._lock = threading.Lock()

    def take(self, utility_id: str, kind: UsageKind, amount: int) -> float | None:
        """None if `amount` is within the quota of today, else the wall seconds until the next day.

        Raises OperationsUnavailable.
        """
        now = self._clock.now()
        key, today = (utility_id, kind), now.astimezone(UTC).date()
        with self._lock:
            if today != self._day:
                self._day, self._left, self._refused = today, {}, {}
            if self._left.get(key, 0) >= amount:
                self._left[key] -= amount
                return None
            if amount >= self._refused.get(key, amount + 1):
                return self._until_tomorrow(now)
        part = max(amount, self._most[kind] // PARTS)
        for taken in (part, amount):
            if self._usage.add(utility_id, kind, taken, day=today, most=self._most[kind]):
                self._add(key, today, taken - amount)
                return None
        with self._lock:
            self._refused[key] = min(amount, self._refused.get(key, amount))
        return self._until_tomorrow(now)

    def _add(self, key: tuple[str, UsageKind], day: date, amount: int) -> None:
        with self._lock:
            if day == self._day:
                self._left[key] = self._left.get(key, 0) + amount

    def _until_tomorrow(self, now: datetime) -> float:
        tomorrow = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
        return self._clock.wall_seconds((tomorrow - now).total_seconds())
