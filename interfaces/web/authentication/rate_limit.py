"""A rate limit for each API key, counted in one process; generous, since it protects the process only."""

import time
from collections.abc import Callable

from application.access.token_bucket import Allowance, TokenBuckets

BURST_S = 2.0
"""The capacity of a bucket, in seconds of the rate."""


class PerKeyRateLimiter:
    """A token bucket for each key. Used on the event loop only."""

    def __init__(self, per_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._allowance = Allowance(max(1.0, per_s * BURST_S), per_s)
        self._monotonic = monotonic
        self._buckets = TokenBuckets("key rates")

    def wait_s(self, key: str) -> float:
        """Take a token. 0 if there was one, else the wall seconds until there is one."""
        bucket = self._buckets.filled(key, self._allowance, self._monotonic())
        if bucket.size < 1.0:
            return (1.0 - bucket.size) / self._allowance.per_s
        bucket.size -= 1.0
        return 0.0
