"""Days whose sealing failed: each has an alert, is tried again, and delays no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry, every_open_alert

ALERT = "sealing_failing"
RETRY_S = 60.0
"""Wall seconds until a day that failed is tried again."""
MOST_FAILING = 1_000
_log = structlog.get_logger("measure")


class TooManyFailingSeals(Exception):
    """More days fail than are retried one by one: the error is not that of some facilities."""


class FailingDay(NamedTuple):
    """The day of a facility that has an alert."""

    facility_id: str
    day: date

    @property
    def subject(self) -> str:
        return f"{self.facility_id}/{self.day.isoformat()}"


class FailingSeals:
    """Synchronous. After a restart the open alerts are what is tried again. All methods raise OperationsUnavailable."""

    def __init__(
        self, alerts: AlertRegistry, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._alerts = alerts
        self._clock = clock
        self._monotonic = monotonic
        self._retry_at: dict[FailingDay, float] | None = None

    def to_try(self) -> list[FailingDay]:
        """Those that did not fail a short time ago."""
        now = self._monotonic()
        return [one for one, retry_at in self._days().items() if retry_at <= now]

    def failed(self, one: FailingDay, error: Exception) -> None:
        """Raise the alert, and pause the day. Raises TooManyFailingSeals."""
        known = self._days()
        if one not in known and len(known) >= MOST_FAILING:
            raise TooManyFailingSeals(
                f"the days of {MOST_FAILING} facilities fail; {one.subject}: {error}"
            ) from error
        _log.error("a day could not be sealed", day=one.subject, exc_info=error)
        known[one] = self._monotonic() + RETRY_S
        detail = f"{type(error).__name__}: {error}"[:1_000]
        self._alerts.raise_alert(ALERT, one.subject, detail, at=self._clock.now())

    def succeeded(self, one: FailingDay) -> None:
        if one in (known := self._days()):
            self._alerts.clear(ALERT, one.subject, at=self._clock.now())
            known.pop(one)

    def _days(self) -> dict[FailingDay, float]:
        if self._retry_at is None:
            open_alerts = (one for one in every_open_alert(self._alerts) if one.name == ALERT)
            self._retry_at = {_failing_day(alert.subject): 0.0 for alert in open_alerts}
        return self._retry_at


def _failing_day(subject: str) -> FailingDay:
    facility_id, _, day = subject.rpartition("/")
    return FailingDay(facility_id, date.fromisoformat(day))
