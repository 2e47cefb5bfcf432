"""Quota for late days: how fast readings may open days of the past in the store (ADR 0069).

The store makes a partition for each UTC day of which there are readings. Timestamps come from devices: without a quota
one login makes a partition for every day that retention allows, within seconds. A meter that was offline and sends
what it stored needs a month at once.
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import date, datetime, timedelta

import msgspec

ALWAYS_OPEN = timedelta(days=2)
"""Days this young are open in any case: the store prepares them ahead."""
FACILITY_SHARE = 0.25
"""Of what is left for all, so that no facility leaves nothing for the others."""
DAYS_AT_ONCE, REFILL_S = 128, 600.0
"""Of all facilities: days at once, and wall seconds after which another one may be opened."""
FACILITY_DAYS_AT_ONCE, FACILITY_REFILL_S = 32, 2_400.0
"""Of one facility: the same share of both."""
MAX_OPEN_DAYS = 4_000
"""More than the longest retention of readings."""
MAX_FACILITIES = 10_000
"""Only those that reported late days."""


class _Bucket(msgspec.Struct):
    """Days that may be opened now."""

    left: float
    at_s: float

    def refilled(self, size: int, refill_s: float, now_s: float) -> float:
        self.left = min(float(size), self.left + max(0.0, now_s - self.at_s) / refill_s)
        self.at_s = now_s
        return self.left


class LateDayQuota:
    """Of one process; `now_s` is monotonic wall time. A day that is open stays open, for every facility."""

    def __init__(self) -> None:
        self._all = _Bucket(DAYS_AT_ONCE, 0.0)
        self._facilities: OrderedDict[str, _Bucket] = OrderedDict()
        """The one used last is the last."""
        self._open: dict[date, None] = {}
        """The one opened last is the last."""

    def refused(
        self, facility_id: str, moments: Iterable[datetime], *, now: datetime, now_s: float
    ) -> frozenset[date]:
        """The days of `moments` (UTC) that cannot be opened now. The others are open then; the newest go first."""
        days = {moment.date() for moment in moments if moment < now - ALWAYS_OPEN} - self._open.keys()
        if not days:
            return frozenset()
        ours = self._bucket(facility_id, now_s)
        left = self._all.refilled(DAYS_AT_ONCE, REFILL_S, now_s)
        most = min(ours.refilled(FACILITY_DAYS_AT_ONCE, FACILITY_REFILL_S, now_s), left * FACILITY_SHARE)
        opened = sorted(days, reverse=True)[: int(most)]
        ours.left -= len(opened)
        self._all.left -= len(opened)
        self._open.update(dict.fromkeys(opened))
        while len(self._open) > MAX_OPEN_DAYS:
            del self._open[next(iter(self._open))]
        return frozenset(days.difference(opened))

    def _bucket(self, facility_id: str, now_s: float) -> _Bucket:
        bucket = self._facilities.setdefault(facility_id, _Bucket(FACILITY_DAYS_AT_ONCE, now_s))
        self._facilities.move_to_end(facility_id)
        if len(self._facilities) > MAX_FACILITIES:
            self._facilities.popitem(last=False)
        return bucket
