"""Failed authentications, counted by client network: limited, logged and reported, whatever key was tried."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from application.bounded_cache import BoundedCache
from interfaces.web.log_limiter import LogLimiter
from interfaces.web.problems import Problem, try_again

MOST_IN_WINDOW = 60
WINDOW_S = 60.0
"""Wall seconds."""
REPORTED_FOR_S = 600.0
MAX_ENTRIES = 10_000

FailureKind = Literal["api_key", "session", "signature"]
log = structlog.get_logger("web")


@dataclass(slots=True)
class _Count:
    since: float
    failures: int = 0
    over_at: float | None = None
    """When the limit was last exceeded."""
    worst: int = 0
    """The most failures in one window."""


class AuthenticationFailures:
    """Used on the event loop only. Of more than MAX_ENTRIES networks, those that failed longest ago are forgotten.

    A correct key is accepted however many wrong ones came from its network: people behind one address do not lock each
    other out, and a key of 256 bits is not guessed.
    """

    def __init__(
        self, most_in_window: int = MOST_IN_WINDOW, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.most_in_window = most_in_window
        self._monotonic = monotonic
        self._counts = BoundedCache[str, _Count](
            "authentication failures", max_size=MAX_ENTRIES, ttl_s=REPORTED_FOR_S, monotonic=monotonic
        )
        self._lines = LogLimiter()

    def record(self, network: str, kind: FailureKind) -> None:
        """Count a failure, and log the first one of a window and the first one beyond the limit."""
        now = self._monotonic()
        count = self._counts.get(network) or _Count(since=now)
        self._counts.put(network, count)
        if now >= count.since + WINDOW_S:
            count.since, count.failures = now, 0
        count.failures += 1
        if count.failures > self.most_in_window:
            count.over_at, count.worst = now, max(count.worst, count.failures)
        if count.failures in (1, self.most_in_window + 1) and self._lines.may_log(now):
            log.warning("authentication failed", address=network, kind=kind, failures=count.failures)

    def refusal(self, network: str) -> Problem | None:
        """The answer to a further failure; None while the network is within its limit."""
        count = self._counts.get(network)
        if count is None or count.failures <= self.most_in_window:
            return None
        wait_s = count.since + WINDOW_S - self._monotonic()
        if wait_s <= 0:
            return None
        return try_again(
            "rate-exceeded", "too many failed authentications from this address", retry_after_s=wait_s
        )

    def over_limit(self) -> Mapping[str, int]:
        """The networks that exceeded the limit in the last REPORTED_FOR_S, and their most failures in a window."""
        since = self._monotonic() - REPORTED_FOR_S
        return {
            network: count.worst
            for network, count in self._counts.items()
            if count.over_at is not None and count.over_at > since
        }
