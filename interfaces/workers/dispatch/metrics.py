"""BmsHealth: metrics of every BMS call and breaker; alerts for open breakers and for a high 99th percentile."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from threading import Lock

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.dispatch.breaker_alerts import BreakerAlerts
from interfaces.workers.loops.observer import this_process
from interfaces.workers.loops.periodic import PeriodicCheck

SLOW_S = 5.0
"""Clock seconds: a 99th percentile above it is an alert."""
WINDOW = timedelta(minutes=5)
LEAST_CALLS = 20
"""With fewer calls in the window no percentile is computed."""
CHECK_EVERY_S, LEAST_CHECK_EVERY_S = 15.0, 0.5
SUBJECT = "all"
_BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
log = structlog.get_logger("dispatch")


@dataclass
class BmsHealth:
    """The health of BMS calls as one dispatch process sees it. Times are clock seconds.

    `/metrics` of the process shows `registry`.
    """

    clock: Clock
    alerts: AlertRegistry
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _calls: deque[tuple[datetime, float]] = field(default_factory=deque)
    _lock: Lock = field(default_factory=Lock)
    """Guards `_calls`: calls end on the event loop, and `check` reads them in a thread."""

    def __post_init__(self) -> None:
        self._breakers = BreakerAlerts(self.clock, self.alerts)
        self._seconds = Histogram(
            "gridproof_bms_call_seconds",
            "From the call to the whole answer, or to giving up on it",
            ("operation",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "gridproof_bms_calls",
            "Calls by how they ended",
            ("operation", "outcome"),
            registry=self.registry,
        )
        self._open = Gauge(
            "gridproof_bms_breaker_open",
            "1 while the breaker of that facility's BMS is open or tries a call",
            ("facility",),
            registry=self.registry,
        )

    def call_ended(self, facility_id: str, operation: str, outcome: str, seconds: float) -> None:
        self._breakers.call_ended(facility_id)
        self._seconds.labels(operation).observe(seconds)
        self._outcomes.labels(operation, outcome).inc()
        with self._lock:
            self._calls.append((self.clock.now(), seconds))

    def breaker_changed(self, facility_id: str, state: str) -> None:
        self._breakers.changed(facility_id, state)
        self._open.labels(facility_id).set(0.0 if state == "closed" else 1.0)

    def p99_s(self) -> float | None:
        """The 99th percentile of the calls in the window; None for fewer than LEAST_CALLS."""
        since = self.clock.now() - WINDOW
        with self._lock:
            while self._calls and self._calls[0][0] < since:
                self._calls.popleft()
            calls = tuple(self._calls)
        if len(calls) < LEAST_CALLS:
            return None
        seconds = sorted(seconds for _, seconds in calls)
        return seconds[ceil(len(seconds) * 0.99) - 1]

    def check(self) -> None:
        """State the alerts; with too few calls for a percentile it is not known. Raises OperationsUnavailable."""
        self._breakers.check()
        p99_s, stated = self.p99_s(), dict[str, str]()
        if p99_s is None and self._calls:
            return
        if p99_s is not None and p99_s > SLOW_S:
            stated[SUBJECT] = (
                f"the slowest hundredth of {len(self._calls)} calls in 5 minutes took {p99_s:.1f} s or more"
            )
        self.alerts.state("bms_slow", stated, observer=this_process(), at=self.clock.now())

    async def run(self, stop: asyncio.Event) -> None:
        every_s = max(LEAST_CHECK_EVERY_S, self.clock.wall_seconds(CHECK_EVERY_S))
        check = partial(asyncio.to_thread, self.check)
        await PeriodicCheck("BMS health", check, every_s=every_s).run(stop)
