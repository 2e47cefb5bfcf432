"""FailingDeadlines: one due deadline that fails for good has an alert and delays no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from projections.deadlines import DeadlineKind, DeadlineRow

ALERT = "deadline_failing"
RETRY_S = 30.0
"""Wall seconds until a deadline that failed is tried again."""
log = structlog.get_logger(__name__)


class FailingDeadlines:
    """The failures of the worker that acts on the deadlines of `kinds` (synchronous).

    A restart forgets the pauses; what failed is in the last statement. All methods raise OperationsUnavailable.
    """

    def __init__(
        self,
        alerts: AlertRegistry,
        clock: Clock,
        kinds: Collection[DeadlineKind],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alerts = alerts
        self._clock = clock
        self._observer = f"deadlines {' '.join(sorted(kinds))}"
        self._monotonic = monotonic
        self._retry_at: dict[str, float] = {}
        self._details: dict[str, str] | None = None

    def reset(self) -> None:
        """Read the last statement anew: another process worked meanwhile."""
        self._retry_at.clear()
        self._details = None

    def to_try(self, due: Sequence[DeadlineRow]) -> list[DeadlineRow]:
        """Of all deadlines that are due, the ones that did not fail a short time ago. What is no longer due fails no
        longer."""
        failing = self._failing()
        for subject in failing.keys() - {subject_of(deadline) for deadline in due}:
            del failing[subject]
            self._retry_at.pop(subject, None)
        self._state(failing)
        now = self._monotonic()
        return [deadline for deadline in due if self._retry_at.get(subject_of(deadline), 0.0) <= now]

    def failed(self, deadline: DeadlineRow, error: Exception) -> None:
        """State it, and pause the deadline."""
        subject, failing = subject_of(deadline), self._failing()
        log.error("a due deadline failed", deadline=subject, error=type(error).__name__, exc_info=error)
        self._retry_at[subject] = self._monotonic() + RETRY_S
        failing[subject] = f"{type(error).__name__}: {error}"[:1_000]
        self._state(failing)

    def succeeded(self, deadline: DeadlineRow) -> None:
        failing = self._failing()
        if failing.pop(subject_of(deadline), None) is not None:
            self._retry_at.pop(subject_of(deadline), None)
            self._state(failing)

    def _state(self, failing: Mapping[str, str]) -> None:
        self._alerts.state(ALERT, failing, observer=self._observer, at=self._clock.now())

    def _failing(self) -> dict[str, str]:
        if self._details is None:
            self._details = self._alerts.stated(ALERT, observer=self._observer)
        return self._details


def subject_of(deadline: DeadlineRow) -> str:
    parts = (deadline.kind, str(deadline.dr_event_id), deadline.facility_id)
    return "/".join(part for part in parts if part)
