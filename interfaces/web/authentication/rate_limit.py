"""A rate limit for each API key, counted in one process; generous, since it protects the process only."""

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 2.0
"""The capacity of a bucket, in seconds of the rate."""
MAX_ENTRIES = 10_000


class PerKeyRateLimiter:
    """A token bucket for each key. Used on the event loop only."""

    def __init__(self, per_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * BURST_S)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key -> its tokens, and the time of that count."""

    def wait_s(self, key: str) -> float:
        """Take a token. 0 if there was one, else the wall seconds until there is one."""
        now = self._monotonic()
        tokens, at = self._buckets.get(key, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._per_s)
        if tokens < 1.0:
            return (1.0 - tokens) / self._per_s
        self._buckets[key] = (tokens - 1.0, now)
        if len(self._buckets) > MAX_ENTRIES:
            self._buckets.popitem(last=False)
        return 0.0
