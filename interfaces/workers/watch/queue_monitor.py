"""The alert `queue_full`: stated while as many DR events are due to be planned as the webhook admits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.queries.views import PlanningQueue

ALERT = "queue_full"
WEBHOOK = "door"
CHECK_EVERY_S = 1.0
"""Wall seconds."""
MOST_COUNTED = 100_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WebhookQueueMonitor:
    """Checks whether as many DR events are due to be planned as the webhook admits of one utility. One is active per
    system.

    It counts those of all utilities, while the webhook refuses a utility for its own alone.

    It runs in the watch worker and not in the web process: a fault that stops the planning of DR events may stop
    the webhook too, which then could not report it.
    """

    queue: Callable[..., PlanningQueue]
    """`ReadModels.planning_queue` of all utilities."""
    depth: int
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "webhook queue monitor",
            partial(asyncio.to_thread, self.check),
            every_s=CHECK_EVERY_S,
            lock="door-watch",
        )

    def check(self) -> None:
        due = self.queue(limit=MOST_COUNTED).due
        stated = {}
        if due >= self.depth:
            stated[WEBHOOK] = (
                f"{due} DR events are due to be planned; a utility with {self.depth} of them is turned away"
            )
        self.alerts.state(ALERT, stated, observer="webhook queue monitor", at=self.clock.now())
