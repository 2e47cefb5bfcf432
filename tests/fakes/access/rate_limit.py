"""A rate limit in memory, over a second of wall time."""

import time
from collections import defaultdict, deque
from collections.abc import Callable

from application.ports.access.rate_limit import RateDecision

WINDOW_S = 1.0


class FakeRateLimiter:
    is_degraded = False

    def __init__(self, rate_per_s: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate_per_s = rate_per_s
        self._monotonic = monotonic
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    async def hit(self, key: str) -> RateDecision:
        now, calls = self._monotonic(), self._calls[key]
        while calls and calls[0] <= now - WINDOW_S:
            calls.popleft()
        if len(calls) >= self._rate_per_s:
            return RateDecision(allowed=False, retry_after_s=calls[0] + WINDOW_S - now)
        calls.append(now)
        return RateDecision(allowed=True)
