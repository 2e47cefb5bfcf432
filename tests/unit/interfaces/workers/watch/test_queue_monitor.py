"""The webhook queue is alerted while it is full."""

from functools import partial

from application.commands.dr_event import PlanDREvent
from domain.identifiers import dr_event_id
from interfaces.workers.watch.queue_monitor import ALERT, WEBHOOK, WebhookQueueMonitor
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import UTILITY, judge

ALL_SIX = tuple(f"fac-00{number}" for number in range(1, 7))


class Door:
    """DR events that wait to be planned, each with its own facility."""

    def __init__(self, depth: int = 3) -> None:
        self.there, self.alerts, self.depth = InProcessSystem.registered(*ALL_SIX), FakeAlertRegistry(), depth

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
        watch.check()
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
