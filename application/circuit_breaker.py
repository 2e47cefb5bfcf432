"""A circuit breaker: after failures in a row it refuses calls for a while, then lets calls try again."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Literal

BreakerState = Literal["closed", "opened", "half-opened"]


class CircuitBreaker:
    """Opens at `threshold` failures in a row and refuses calls for `open_s` seconds of `monotonic`. Thread-safe.

    Afterwards it is half-open: calls are allowed, the first success closes it and the first failure opens it again.
    `on_change` receives each new state. The clock must be monotonic (ADR 0034).
    """

    def __init__(
        self,
        *,
        threshold: int = 1,
        open_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: Callable[[BreakerState], None] | None = None,
    ) -> None:
        self._threshold = threshold
        self._open_s = open_s
        self._monotonic = monotonic
        self._on_change = on_change
        self._state: BreakerState = "closed"
        self._failures = 0
        self._open_until = 0.0
        self._lock = Lock()

    @property
    def is_open(self) -> bool:
        """True if calls are refused now."""
        return self._state == "opened" and self._monotonic() < self._open_until

    def allows_call(self) -> bool:
        """False while open; the first question after the open period makes the breaker half-open."""
        with self._lock:
            if self.is_open:
                return False
            if self._state == "opened":
                self._change("half-opened")
            return True

    def record_success(self) -> None:
        """Ends the row of failures. A call that began before the breaker opened does not close it."""
        with self._lock:
            if self._state == "opened":
                return
            self._failures = 0
            if self._state == "half-opened":
                self._change("closed")

    def record_failure(self) -> None:
        """Counts a failure. One of a call that began before the breaker opened does not prolong the open period."""
        with self._lock:
            if self._state == "opened":
                return
            self._failures += 1
            if self._state == "half-opened" or self._failures >= self._threshold:
                self._open()

    def trip(self) -> None:
        """Open at once, whatever the count; a breaker that is open starts its open period again."""
        with self._lock:
            self._open()

    def _open(self) -> None:
        self._failures = 0
        self._open_until = self._monotonic() + self._open_s
        self._change("opened")

    def _change(self, state: BreakerState) -> None:
        before, self._state = self._state, state
        if state != before and self._on_change is not None:
            self._on_change(state)
