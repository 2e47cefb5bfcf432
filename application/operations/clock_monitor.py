"""The clock of this process, held against the database's: while it is wrong, nothing is decided.

Every domain event is dated by the clock of the process that recorded it, and deadlines follow from it. Processes on
several machines agree only as far as their clocks do. The database's clock is the one that all of them can read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from application.ports.clock import Clock, ClockSkewed
from application.ports.operations.alerts import AlertRegistry

MAX_SKEW_S = 5.0
"""Wall seconds, also on an accelerated clock."""
MEASURE_EVERY_S = 10.0
ALERT = "clock_skewed"
_log = structlog.get_logger(__name__)


class Skew(NamedTuple):
    """How far the machine's clock is ahead of the database's. The measurement is wrong by `uncertain_s` at most."""

    seconds: float
    uncertain_s: float

    @property
    def is_too_far(self) -> bool:
        return abs(self.seconds) - self.uncertain_s > MAX_SKEW_S


def measure_skew(
    database_time: Callable[[], datetime],
    *,
    wall_now: Callable[[], datetime],
    monotonic: Callable[[], float] = time.monotonic,
) -> Skew:
    """The difference at the middle of the round trip. Raises what `database_time` raises."""
    before, started = wall_now(), monotonic()
    there = database_time()
    took_s = monotonic() - started
    return Skew((before - there).total_seconds() + took_s / 2, took_s / 2)


class ClockMonitor:
    """The newest measurement of this process. Thread-safe.

    A process of many decisions measures in `run`, in a thread of its own: the thread that decides may be an event loop,
    which must not wait for the database. Elsewhere the decision itself measures.
    """

    def __init__(
        self,
        measure: Callable[[], Skew],
        on_measured: Callable[[Skew], None] = lambda _: None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`measure` may raise anything: the last measurement counts on, and so it does while the database is away."""
        self._measure = measure
        self._on_measured = on_measured
        self._monotonic = monotonic
        self._skew: Skew | None = None
        self._measured_at: float | None = None
        self._measuring = threading.Lock()
        self._is_running = False
        self.tried = threading.Event()
        """Set once the clocks were compared, or could not be."""

    @property
    def skew(self) -> Skew | None:
        """None before the first measurement."""
        return self._skew

    def check(self) -> None:
        """Raises ClockSkewed while the clock is wrong. Measures if the last time is too long ago and `run` does not."""
        if not self._is_running and self._is_due() and self._measuring.acquire(blocking=self._skew is None):
            try:
                if self._is_due():
                    self._measure_now()
            finally:
                self._measuring.release()
        self._raise_if_wrong()

    def confirm(self) -> None:
        """Measure now. Raises ClockSkewed if the clock is wrong: for what follows from the time before it is saved."""
        with self._measuring:
            self._measure_now()
        self._raise_if_wrong()

    def run(self, stop: threading.Event) -> None:
        """Measure every 10 s until `stop`."""
        self._is_running = True
        try:
            while not stop.is_set():
                with self._measuring:
                    self._measure_now()
                stop.wait(MEASURE_EVERY_S)
        finally:
            self._is_running = False

    def _raise_if_wrong(self) -> None:
        skew = self._skew
        if skew is not None and skew.is_too_far:
            raise ClockSkewed(
                f"the clock of this process is {skew.seconds:+.1f} s from the database's, more than {MAX_SKEW_S:.0f} s:"
                " it decides nothing until the machine's clock is set (by NTP)"
            )

    def _is_due(self) -> bool:
        return self._measured_at is None or self._monotonic() - self._measured_at >= MEASURE_EVERY_S

    def _measure_now(self) -> None:
        # Also of a failed try: a database that is away is not asked each time.
        self._measured_at = self._monotonic()
        try:
            self._skew = self._measure()
        except Exception as error:  # noqa: BLE001 - the decision itself meets the same outage
            _log.info("the clock was not compared with the database's", why=str(error))
            return
        finally:
            self.tried.set()
        self._on_measured(self._skew)


class DecisionClock:
    """The clock for decisions: while it is wrong, `now` raises ClockSkewed."""

    def __init__(self, clock: Clock, monitor: ClockMonitor) -> None:
        self._clock = clock
        self._monitor = monitor

    def now(self) -> datetime:
        self._monitor.check()
        return self._clock.now()

    def wall_seconds(self, clock_seconds: float) -> float:
        return self._clock.wall_seconds(clock_seconds)


class SkewAlert:
    """States `clock_skewed` about this machine with each measurement; every process of the machine does."""

    def __init__(self, alerts: AlertRegistry, clock: Clock, machine: str, observer: str) -> None:
        self._alerts = alerts
        self._clock = clock
        self._machine = machine
        self._observer = observer

    def __call__(self, skew: Skew) -> None:
        stated = {}
        if skew.is_too_far:
            stated[self._machine] = (
                f"its clock is {skew.seconds:+.1f} s from the database's: its processes decide nothing"
            )
        try:
            self._alerts.state(ALERT, stated, observer=self._observer, at=self._database_now(skew))
        except Exception as error:  # noqa: BLE001 - an alert that cannot be stated must not stop the work
            _log.warning("alert not recorded", alert=ALERT, subject=self._machine, error=str(error))

    def _database_now(self, skew: Skew) -> datetime:
        """Now by the database's clock, at the speed of the system's clock."""
        return self._clock.now() - timedelta(seconds=skew.seconds / self._clock.wall_seconds(1.0))
