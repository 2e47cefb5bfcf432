"""FailingDeadlines: one due deadline that fails for good raises an alert and delays no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry, every_open_alert
from projections.deadlines import DeadlineKind, DeadlineRow

ALERT = "deadline_failing"
RETRY_S = 30.0
"""Wall seconds until a deadline that failed is tried again."""
log = structlog.get_logger(__name__)


class FailingDeadlines:
    """The failures of the worker that acts on the deadlines of `kinds` (synchronous).

    A restart forgets the pauses, and knows the open alerts from the register. All methods raise OperationsUnavailable.
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
        self._prefixes = tuple(f"{kind}/" for kind in kinds)
        self._monotonic = monotonic
        self._retry_at: dict[str, float] = {}
        self._alerted: set[str] | None = None

    def reset(self) -> None:
        """Read the open alerts anew: another process worked meanwhile."""
        self._retry_at.clear()
        self._alerted = None

    def to_try(self, due: Sequence[DeadlineRow]) -> list[DeadlineRow]:
        """Those of all deadlines that are due which did not fail a short time ago. Clears the alerts of the others
        that are no longer due."""
        if self._alerted is None:
            self._alerted = {
                alert.subject
                for alert in every_open_alert(self._alerts)
                if alert.name == ALERT and alert.subject.startswith(self._prefixes)
            }
        for subject in self._alerted - {subject_of(deadline) for deadline in due}:
            self._clear(subject)
        now = self._monotonic()
        return [deadline for deadline in due if self._retry_at.get(subject_of(deadline), 0.0) <= now]

    def failed(self, deadline: DeadlineRow, error: Exception) -> None:
        """Raise the alert, and pause the deadline."""
        subject = subject_of(deadline)
        log.error("a due deadline failed", deadline=subject, error=type(error).__name__, exc_info=error)
        self._retry_at[subject] = self._monotonic() + RETRY_S
        detail = f"{type(error).__name__}: {error}"[:1_000]
        self._alerts.raise_alert(ALERT, subject, detail, at=self._clock.now())
        self._alerted = (self._alerted or set()) | {subject}

    def succeeded(self, deadline: DeadlineRow) -> None:
        if self._alerted and (subject := subject_of(deadline)) in self._alerted:
            self._clear(subject)

    def _clear(self, subject: str) -> None:
        self._alerts.clear(ALERT, subject, at=self._clock.now())
        self._retry_at.pop(subject, None)
        self._alerted = (self._alerted or set()) - {subject}


def subject_of(deadline: DeadlineRow) -> str:
    parts = (deadline.kind, str(deadline.dr_event_id), deadline.facility_id)
    return "/".join(part for part in parts if part)
