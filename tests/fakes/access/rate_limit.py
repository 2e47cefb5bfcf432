"""A rate limit in memory, over a second of wall time; below one call a second over the time of one call."""

import time
from collections import defaultdict, deque
from collections.abc import Callable

from application.ports.access.rate_limit import RateDecision


class FakeRateLimiter:
    is_degraded = False

    def __init__(self, rate_per_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._window_s = max(1.0, 1.0 / rate_per_s)
        self._calls_per_window = rate_per_s * self._window_s
        self._monotonic = monotonic
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    async def hit(self, key: str) -> RateDecision:
        now, calls = self._monotonic(), self._calls[key]
        while calls and calls[0] <= now - self._window_s:
            calls.popleft()
        if len(calls) >= self._calls_per_window:
            return RateDecision(allowed=False, retry_after_s=calls[0] + self._window_s - now)
        calls.append(now)
        return RateDecision(allowed=True)
