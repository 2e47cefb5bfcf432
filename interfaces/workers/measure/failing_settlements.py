"""DR events whose settlement failed: each has an alert, is tried again, and delays no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry, every_open_alert

ALERT = "settlement_failing"
RETRY_S = 300.0
"""Wall seconds until a DR event that failed is tried again."""
MOST_FAILING = 1_000
_log = structlog.get_logger("measure")


class TooManyFailingSettlements(Exception):
    """More DR events fail than are tried again one by one: the error is not that of some of them."""


class FailingSettlements:
    """Synchronous. After a restart the open alerts are what is tried again. All methods raise OperationsUnavailable."""

    def __init__(
        self, alerts: AlertRegistry, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._alerts = alerts
        self._clock = clock
        self._monotonic = monotonic
        self._retry_at: dict[UUID, float] | None = None

    def to_try(self) -> list[UUID]:
        """Those that did not fail a short time ago."""
        now = self._monotonic()
        return [one for one, retry_at in self._dr_events().items() if retry_at <= now]

    def failed(self, dr_event_id: UUID, error: Exception) -> None:
        """Raise the alert, and pause the DR event. Raises TooManyFailingSettlements."""
        failing = self._dr_events()
        if dr_event_id not in failing and len(failing) >= MOST_FAILING:
            raise TooManyFailingSettlements(
                f"the settlements of {MOST_FAILING} DR events fail; {dr_event_id}: {error}"
            ) from error
        _log.error("a DR event could not be settled", dr_event=str(dr_event_id), exc_info=error)
        failing[dr_event_id] = self._monotonic() + RETRY_S
        detail = f"{type(error).__name__}: {error}"[:1_000]
        self._alerts.raise_alert(ALERT, str(dr_event_id), detail, at=self._clock.now())

    def succeeded(self, dr_event_id: UUID) -> None:
        if dr_event_id in (failing := self._dr_events()):
            self._alerts.clear(ALERT, str(dr_event_id), at=self._clock.now())
            failing.pop(dr_event_id)

    def _dr_events(self) -> dict[UUID, float]:
        if self._retry_at is None:
            open_alerts = (one for one in every_open_alert(self._alerts) if one.name == ALERT)
            self._retry_at = {UUID(alert.subject): 0.0 for alert in open_alerts}
        return self._retry_at
