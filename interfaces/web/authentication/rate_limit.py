"""How often each key may read, ample: what one process can bear, counted in that process alone."""

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 2.0
"""What a key may read at once: what it may in so long."""
MOST_REMEMBERED = 10_000


class PerKeyRateLimiter:
    """A bucket of tokens for each key. Used on the event loop alone."""

    def __init__(self, per_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * BURST_S)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key -> its tokens, and when it had so many."""

    def wait_s(self, key: str) -> float:
        """Takes a token; 0 where there was one, else in how many wall seconds there will be."""
        now = self._monotonic()
        tokens, at = self._buckets.get(key, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._per_s)
        if tokens < 1.0:
            return (1.0 - tokens) / self._per_s
        self._buckets[key] = (tokens - 1.0, now)
        if len(self._buckets) > MOST_REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0
