"""Token buckets: how much of something one sender may send in this process, and how often a quota may be used.

The library `limits`, which counts the calls of all processes together, cannot do it. It has windows and no buckets, and
its storage in memory reads the wall clock, is not bounded in keys, and starts a thread to clear them. A hit of its
moving window costs 3.5 times a bucket's, one of its fixed window, which allows twice the limit at its edge, 2.4 times.
The moving window keeps an element for each unit that was taken: 10 MB of a quota took it 4 s and 80 MB.
"""

import time
from collections.abc import Callable
from math import inf

import msgspec

from application.bounded_cache import BoundedCache

MAX_BUCKETS = 10_000
BURST_S = 2.0
"""The capacity of the bucket of an API key, in seconds of its rate."""


class Allowance(msgspec.Struct, frozen=True):
    """The burst size, and the refill rate a second, in the unit of its quota."""

    at_once: float
    per_s: float


class TokenBucket(msgspec.Struct):
    """The rest of an allowance at a moment; the seconds of one bucket are all of one clock."""

    size: float
    at_s: float

    def filled(self, allowance: Allowance, now_s: float) -> float:
        """Add what the time until `now_s` gives, and return the size. A clock that went back adds nothing."""
        passed_s = max(0.0, now_s - self.at_s)
        self.size = min(allowance.at_once, self.size + allowance.per_s * passed_s)
        self.at_s = max(self.at_s, now_s)
        return self.size

    def wait_s(self, allowance: Allowance) -> float:
        """Seconds until it holds one; 0 where it does, infinite where nothing is added."""
        missing = max(0.0, 1.0 - self.size)
        return 0.0 if not missing else missing / allowance.per_s if allowance.per_s else inf


class TokenBuckets:
    """A bucket for each sender. Their ids come from outside, so beyond the limit the least recently used one is
    dropped."""

    def __init__(self, name: str) -> None:
        """`name`: the label of its metrics."""
        self._buckets = BoundedCache[str, TokenBucket](name, max_size=MAX_BUCKETS)

    def filled(self, sender: str, allowance: Allowance, now_s: float) -> TokenBucket:
        """The bucket of a sender, with what was added to it until now; a new one is full."""
        bucket = self._buckets.get(sender)
        if bucket is None:
            bucket = TokenBucket(allowance.at_once, now_s)
            self._buckets.put(sender, bucket)
        else:
            bucket.filled(allowance, now_s)
        return bucket


class SharedBuckets:
    """A bucket for each facility, and one for all of them together."""

    def __init__(self, name: str, of_all: Allowance) -> None:
        """`name`: the label of its metrics."""
        self._of_all = of_all
        self._all: TokenBucket | None = None
        self._facilities = TokenBuckets(name)

    def takes(self, facility_id: str, size: float, of_a_facility: Allowance, *, now_s: float) -> bool:
        """Take `size` from both; where one of them has less, from neither."""
        mine = self._facilities.filled(facility_id, of_a_facility, now_s)
        everybody = self._all = self._all or TokenBucket(self._of_all.at_once, now_s)
        if mine.size < size or everybody.filled(self._of_all, now_s) < size:
            return False
        mine.size -= size
        everybody.size -= size
        return True


class PerKeyRateLimiter:
    """A bucket for each API key. Generous, since it protects this process only."""

    def __init__(self, per_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._allowance = Allowance(max(1.0, per_s * BURST_S), per_s)
        self._monotonic = monotonic
        self._buckets = TokenBuckets("key rates")

    def wait_s(self, key: str) -> float:
        """Take a token. 0 if there was one, else the wall seconds until there is one."""
        bucket = self._buckets.filled(key, self._allowance, self._monotonic())
        if wait_s := bucket.wait_s(self._allowance):
            return wait_s
        bucket.size -= 1.0
        return 0.0
