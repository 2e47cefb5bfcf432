"""The webhook queue and the work queues are alerted while they are full."""

import asyncio
from functools import partial

import pytest

from application.commands.dr_event import PlanDREvent
from application.operations.alert_switch import AlertSwitch
from application.ports.dispatch.work_queue import WorkQueueFull
from domain.identifiers import dr_event_id
from interfaces.workers.schedule.queue_monitor import (
    ALERT,
    CALLBACKS,
    COMMANDS,
    WEBHOOK,
    AlertingPublisher,
    WebhookQueueMonitor,
)
from tests.fakes.dispatch.work_queue import FakeWorkQueue
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import CALLBACK_WORK, COMMAND_WORK, UTILITY, judge

ALL_SIX = tuple(f"fac-00{number}" for number in range(1, 7))


class Door:
    """DR events that wait to be planned, each with its own facility."""

    def __init__(self, depth: int = 3) -> None:
        self.there, self.alerts, self.depth = InProcessSystem.registered(*ALL_SIX), FakeAlertRegistry(), depth
        self.switch = AlertSwitch(self.alerts, self.there.scenario.clock, ALERT, WEBHOOK)

    def ask(self, *numbers: int) -> None:
        for number in numbers:
            asked = judge(f"U-{number}", facility_ids=(f"fac-00{number}",), target_kw=50.0)
            self.there.scenario.after(asked)

    def plan(self, number: int) -> None:
        self.there.scenario.after(PlanDREvent(dr_event_id=dr_event_id(UTILITY, f"U-{number}")))

    def check(self) -> list[str]:
        models = FakeReadModels(self.there.scenario.store.read_after(0, 10_000))
        watch = WebhookQueueMonitor(
            queue=partial(models.planning_queue, tenant=None),
            depth=self.depth,
            alerts=self.alerts,
            clock=self.there.scenario.clock,
        )
        asyncio.run(watch.check(self.switch))
        return [
            alert.detail for alert in self.alerts.listed() if (alert.name, alert.subject) == (ALERT, WEBHOOK)
        ]


def test_the_webhook_is_alerted_as_full_at_the_depth_until_a_dr_event_is_planned() -> None:
    door = Door()
    door.ask(1, 2)
    assert door.check() == []
    door.ask(3)
    assert door.check() == ["3 DR events are due to be planned; a utility with 3 of them is turned away"]
    door.ask(4)
    assert len(door.check()) == 1, "one alert"
    door.plan(1)
    door.plan(2)
    assert door.check() == []


def test_a_new_monitor_clears_an_alert_that_no_longer_applies() -> None:
    door = Door()
    door.ask(1, 2, 3)
    assert door.check() != []
    door.plan(1)
    door.switch = AlertSwitch(door.alerts, door.there.scenario.clock, ALERT, WEBHOOK)
    assert door.check() == []


class Full(FakeWorkQueue):
    """Refuses messages of the named streams because they are full."""

    full: frozenset[str] = frozenset()

    def _publish(self, stream: str, place: str, body: bytes, message_id: str) -> None:
        if stream in self.full:
            raise WorkQueueFull(f"no room for {message_id}")
        super()._publish(stream, place, body, message_id)


def test_a_full_work_queue_is_alerted_until_it_accepts_work_again() -> None:
    door = Door()
    queue = Full()
    publisher = AlertingPublisher.of(queue, door.alerts, door.there.scenario.clock)

    def open_alerts() -> set[str]:
        return {alert.subject for alert in door.alerts.listed() if alert.name == ALERT}

    async def scenario() -> None:
        queue.full = frozenset({"bms", "callback"})
        with pytest.raises(WorkQueueFull):
            await publisher.publish_bms(COMMAND_WORK, message_id="a")
        with pytest.raises(WorkQueueFull):
            await publisher.publish_callback(CALLBACK_WORK, message_id="b")
        assert open_alerts() == {COMMANDS, CALLBACKS}
        queue.full = frozenset({"bms"})
        await publisher.publish_callback(CALLBACK_WORK, message_id="b")
        assert open_alerts() == {COMMANDS}
        queue.full = frozenset()
        await publisher.publish_bms(COMMAND_WORK, message_id="a")
        assert open_alerts() == set()

    asyncio.run(scenario())
