"""Subjects whose work failed: each has an alert, is tried again, and delays no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry

MOST_FAILING = 1_000
OBSERVER = "measure"
_log = structlog.get_logger("compute")


class TooManyFailing(Exception):
    """More subjects fail than are tried again one by one: the error is not that of some of them."""


class FailingSubjects:
    """The subjects of `alert` (synchronous). What was stated last is tried again after a restart, however long it took,
    and after another process worked.

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
        self._details: dict[str, str] | None = None
        self._retry_at: dict[str, float] = {}

    def reset(self) -> None:
        """Read the last statement anew: another process worked meanwhile."""
        self._details = None
        self._retry_at.clear()

    def to_try(self) -> list[str]:
        """The subjects that did not fail a short time ago."""
        failing, now = self._failing(), self._monotonic()
        self._state(failing)
        return [one for one in failing if self._retry_at.get(one, 0.0) <= now]

    def failed(self, subject: str, error: Exception) -> None:
        """State it, and pause the subject. Raises TooManyFailing."""
        failing = self._failing()
        if subject not in failing and len(failing) >= MOST_FAILING:
            raise TooManyFailing(f"{self._alert}: {MOST_FAILING} fail; {subject}: {error}") from error
        _log.error("failed, and is tried again", alert=self._alert, subject=subject, exc_info=error)
        self._retry_at[subject] = self._monotonic() + self._retry_s
        failing[subject] = f"{type(error).__name__}: {error}"[:1_000]
        self._state(failing)

    def succeeded(self, subject: str) -> None:
        failing = self._failing()
        if subject in failing:
            self._state({one: detail for one, detail in failing.items() if one != subject})
            del failing[subject]
            self._retry_at.pop(subject, None)

    def _state(self, failing: Mapping[str, str]) -> None:
        self._alerts.state(self._alert, failing, observer=OBSERVER, at=self._clock.now())

    def _failing(self) -> dict[str, str]:
        if self._details is None:
            self._details = self._alerts.stated(self._alert, observer=OBSERVER)
        return self._details
