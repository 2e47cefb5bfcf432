"""The alert `queue_full`: raised while a bounded queue is full, cleared when it takes something again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.dispatch.work_queue import (
    BmsWork,
    CallbackWork,
    WorkPublisher,
    WorkQueueFull,
    WorkShareFull,
)
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.queries.views import PlanningQueue

ALERT = "queue_full"
WEBHOOK, COMMANDS, CALLBACKS = "door", "work queue of BMS commands", "work queue of callbacks"
SHARE = "callbacks of "
CHECK_EVERY_S = 1.0
"""Wall seconds."""
MOST_COUNTED = 100_000


@dataclass(frozen=True)
class WebhookQueueMonitor:
    """Checks whether as many DR events are due to be planned as the webhook admits of one utility. One is active per
    system.

    It counts those of all utilities, while the webhook refuses a utility for its own alone.

    It runs in the schedule worker and not in the web process: a fault that stops the planning of DR events may stop
    the webhook too, which then could not report it.
    """

    queue: Callable[..., PlanningQueue]
    """`ReadModels.planning_queue` of all utilities."""
    depth: int
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        switch = AlertSwitch(self.alerts, self.clock, ALERT, WEBHOOK)
        return PeriodicCheck(
            "webhook queue monitor",
            partial(self.check, switch),
            every_s=CHECK_EVERY_S,
            lock="door-watch",
            reset=switch.forget,
        )

    async def check(self, switch: AlertSwitch) -> None:
        due = (await asyncio.to_thread(self.queue, limit=MOST_COUNTED)).due
        detail = f"{due} DR events are due to be planned; a utility with {self.depth} of them is turned away"
        await switch.turn(on=due >= self.depth, detail=detail)


@dataclass(frozen=True)
class AlertingPublisher:
    """A WorkPublisher that raises the alert while a queue is full, and clears it at the next success.

    The share of each utility has a subject of its own, so that the callbacks of others do not clear it.
    """

    publisher: WorkPublisher
    commands: AlertSwitch
    callbacks: AlertSwitch
    share_of: Callable[[str], AlertSwitch]
    _shares: dict[str, AlertSwitch] = field(default_factory=dict)

    @classmethod
    def of(cls, publisher: WorkPublisher, alerts: AlertRegistry, clock: Clock) -> Self:
        return cls(
            publisher,
            commands=AlertSwitch(alerts, clock, ALERT, COMMANDS),
            callbacks=AlertSwitch(alerts, clock, ALERT, CALLBACKS),
            share_of=lambda utility_id: AlertSwitch(alerts, clock, ALERT, f"{SHARE}{utility_id}"),
        )

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        async with _alerting(self.commands):
            await self.publisher.publish_bms(work, message_id=message_id)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        utility_id = work.utility_id
        if utility_id not in self._shares:
            self._shares[utility_id] = self.share_of(utility_id)
        share = self._shares[utility_id]
        try:
            async with _alerting(self.callbacks):
                await self.publisher.publish_callback(work, message_id=message_id)
        except WorkShareFull as error:
            await share.turn(on=True, detail=str(error))
            raise
        await share.turn(on=False)


@asynccontextmanager
async def _alerting(switch: AlertSwitch) -> AsyncIterator[None]:
    try:
        yield
    except WorkShareFull:
        raise
    except WorkQueueFull as error:
        await switch.turn(on=True, detail=str(error))
        raise
    await switch.turn(on=False)
