"""Quota for late days: how fast readings may open days of the past in the store (ADR 0069).

The store makes a partition for each UTC day of which there are readings. Timestamps come from devices: without a quota
one login makes a partition for every day that retention allows, within seconds. A meter that was offline and sends
what it stored needs a month at once.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from application.access.token_bucket import Allowance, TokenBucket, TokenBuckets

ALWAYS_OPEN = timedelta(days=2)
"""Days this young are open in any case: the store prepares them ahead."""
FACILITY_SHARE = 0.25
"""Of what is left for all, so that no facility leaves nothing for the others."""
OF_ALL = Allowance(128, 1 / 600)
"""Of all facilities: days at once, and another one every ten minutes."""
OF_A_FACILITY = Allowance(OF_ALL.at_once * FACILITY_SHARE, OF_ALL.per_s * FACILITY_SHARE)
MAX_OPEN_DAYS = 4_000
"""More than the longest retention of readings."""


class LateDayQuota:
    """The quota of one process; `now_s` is monotonic wall time. A day that is open stays open, for every facility."""

    def __init__(self) -> None:
        self._all = TokenBucket(OF_ALL.at_once, 0.0)
        self._facilities = TokenBuckets("late day quotas")
        self._open: dict[date, None] = {}
        """The one opened last is the last."""

    def refused(
        self, facility_id: str, moments: Iterable[datetime], *, now: datetime, now_s: float
    ) -> frozenset[date]:
        """The days of `moments` (UTC) that cannot be opened now. The others are open then; the newest go first."""
        days = {moment.date() for moment in moments if moment < now - ALWAYS_OPEN} - self._open.keys()
        if not days:
            return frozenset()
        ours = self._facilities.filled(facility_id, OF_A_FACILITY, now_s)
        left = self._all.filled(OF_ALL, now_s)
        opened = sorted(days, reverse=True)[: int(min(ours.size, left * FACILITY_SHARE))]
        ours.size -= len(opened)
        self._all.size -= len(opened)
        self._open.update(dict.fromkeys(opened))
        while len(self._open) > MAX_OPEN_DAYS:
            del self._open[next(iter(self._open))]
        return frozenset(days.difference(opened))
