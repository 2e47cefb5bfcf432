"""Health of the telemetry store as seen by one process: the share of failed writes, and query times."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from threading import Lock

WINDOW_S = 300.0
LEAST = 20
"""With fewer calls in the window no share or percentile is reported."""
MAX_CALLS = 20_000


class TelemetryHealth:
    """Observations of one process over the last WINDOW_S wall seconds. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.on_statement: Callable[[str, float], None] = lambda statement, seconds: None
        """Called with the name and the seconds of each."""
        self._writes: deque[tuple[float, bool]] = deque(maxlen=MAX_CALLS)
        self._queries: deque[tuple[float, float]] = deque(maxlen=MAX_CALLS)
        self._lock = Lock()

    def observe_write(self, *, well: bool) -> None:
        with self._lock:
            self._writes.append((self._monotonic(), well))

    def observe_query(self, seconds: float) -> None:
        with self._lock:
            self._queries.append((self._monotonic(), seconds))

    @contextmanager
    def timed(self, statement: str, *, is_write: bool = False) -> Iterator[None]:
        """Observe one statement, or several that are one call, whether it succeeds or not."""
        began, well = time.perf_counter(), False
        try:
            yield
            well = True
        finally:
            seconds = time.perf_counter() - began
            self.on_statement(statement, seconds)
            if is_write:
                self.observe_write(well=well)
            else:
                self.observe_query(seconds)

    def write_error_pct(self) -> float | None:
        """The share of failed writes in %; None with too few writes."""
        with self._lock:
            _drop_before(self._writes, self._monotonic() - WINDOW_S)
            failed, total = sum(not well for _, well in self._writes), len(self._writes)
        return None if total < LEAST else 100.0 * failed / total

    def query_p99_s(self) -> float | None:
        """The 99th percentile of query times; None with too few queries."""
        with self._lock:
            _drop_before(self._queries, self._monotonic() - WINDOW_S)
            seconds = sorted(seconds for _, seconds in self._queries)
        return None if len(seconds) < LEAST else seconds[ceil(len(seconds) * 0.99) - 1]


def _drop_before(calls: deque[tuple[float, bool]] | deque[tuple[float, float]], before: float) -> None:
    while calls and calls[0][0] < before:
        calls.popleft()
