"""Subjects whose work failed: each has an alert, is tried again, and delays no other."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry, every_open_alert

MOST_FAILING = 1_000
_log = structlog.get_logger("measure")


class TooManyFailing(Exception):
    """More subjects fail than are tried again one by one: the error is not that of some of them."""


class FailingSubjects:
    """Those of `alert` (synchronous). After a restart, and after another process worked, its open alerts are what is
    tried again.

    A subject that failed is tried again after `retry_s` wall seconds. All methods raise OperationsUnavailable.
    """

    def __init__(
        self,
        alerts: AlertRegistry,
        clock: Clock,
        *,
        alert: str,
        retry_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alerts = alerts
        self._clock = clock
        self._alert, self._retry_s = alert, retry_s
        self._monotonic = monotonic
        self._retry_at: dict[str, float] | None = None

    def reset(self) -> None:
        """Read the open alerts anew: another process worked meanwhile."""
        self._retry_at = None

    def to_try(self) -> list[str]:
        """Those that did not fail a short time ago."""
        now = self._monotonic()
        return [one for one, retry_at in self._subjects().items() if retry_at <= now]

    def failed(self, subject: str, error: Exception) -> None:
        """Raise the alert, and pause the subject. Raises TooManyFailing."""
        failing = self._subjects()
        if subject not in failing and len(failing) >= MOST_FAILING:
            raise TooManyFailing(f"{self._alert}: {MOST_FAILING} fail; {subject}: {error}") from error
        _log.error("failed, and is tried again", alert=self._alert, subject=subject, exc_info=error)
        failing[subject] = self._monotonic() + self._retry_s
        detail = f"{type(error).__name__}: {error}"[:1_000]
        self._alerts.raise_alert(self._alert, subject, detail, at=self._clock.now())

    def succeeded(self, subject: str) -> None:
        if subject in (failing := self._subjects()):
            self._alerts.clear(self._alert, subject, at=self._clock.now())
            failing.pop(subject)

    def _subjects(self) -> dict[str, float]:
        if self._retry_at is None:
            open_alerts = (one for one in every_open_alert(self._alerts) if one.name == self._alert)
            self._retry_at = {one.subject: 0.0 for one in open_alerts}
        return self._retry_at
