"""The alert of a batch comes when 80 % can no longer be reached, and ends."""

from datetime import timedelta

import pytest

from application.commands.dr_event import CancelDREvent
from application.commands.facility import OptInFacility, OptOutFacility
from domain.dr_event import DREvent
from interfaces.workers.watch.batch_monitor import SHOWN_FOR, BatchMonitor
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT

FIVE = tuple(f"fac-00{number}" for number in range(1, 6))
SECOND = timedelta(seconds=1)


def check(there: InProcessSystem) -> list[str]:
    """The details of the open alerts after a check."""
    models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
    monitor = BatchMonitor(models.dr_events, models.dispatches, there.alerts, there.scenario.clock)
    monitor.check()
    return [alert.detail for alert in there.alerts.listed() if alert.name == "batch_below_80_percent"]


def with_failures(count: int) -> InProcessSystem:
    """A DR event over five facilities that is active, of which the first `count` refused to prepare."""
    there = InProcessSystem.accepted(*FIVE, terms={"shortfall_policy": "continue"}).until("scheduled")
    for facility_id in FIVE[:count]:
        there.control.fail_next(facility_id, "refuse")
    return there.until("active")


def test_the_alert_comes_as_soon_as_80_percent_cannot_be_reached() -> None:
    assert check(with_failures(1)) == []
    there = with_failures(2)
    assert there.dr_event.status == "active"
    assert check(there) == ["at most 3 of 5 facilities can serve: fac-001, fac-002 dropped out"]


def test_it_ends_an_hour_after_the_dr_event() -> None:
    there = with_failures(2)
    check(there)
    there.until("completed")
    over_at = there.recorded(DREvent.Completed)[0].recorded_at
    there.scenario.at(over_at + SHOWN_FOR - SECOND)
    assert check(there) == ["3 of 5 facilities served"]
    there.scenario.at(over_at + SHOWN_FOR)
    assert check(there) == []


def test_a_dr_event_that_was_cancelled_while_active_and_wound_up_is_judged_as_well() -> None:
    there = with_failures(2)
    there.scenario.at(ENDS_AT - timedelta(minutes=30))
    there.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="storm"))
    [wound_up] = there.recorded(DREvent.WoundUp)
    assert check(there) == ["3 of 5 facilities served"]
    there.scenario.at(wound_up.recorded_at + SHOWN_FOR)
    assert check(there) == []


def test_it_ends_when_facilities_opt_in_again() -> None:
    there = InProcessSystem.accepted(*FIVE).until("scheduled")
    for facility_id in FIVE[:2]:
        there.do(OptOutFacility(facility_id=facility_id, dr_event_id=DR_EVENT_ID, reason="not today"))
    [detail] = check(there)
    assert detail.startswith("at most 3 of 5")
    for facility_id in FIVE[:2]:
        there.do(OptInFacility(facility_id=facility_id, dr_event_id=DR_EVENT_ID, reason="after all"))
    assert check(there) == []


@pytest.mark.parametrize("late_s", [0, 3_600])
def test_a_read_model_that_does_not_know_the_dr_event_ends_nothing(late_s: int) -> None:
    there = with_failures(2).until("completed")
    alerts = there.alerts
    assert alerts.open_by_name() == {"batch_below_80_percent": 1}
    there.scenario.at(ENDS_AT + timedelta(seconds=late_s))
    models = FakeReadModels([])
    BatchMonitor(models.dr_events, models.dispatches, alerts, there.scenario.clock).check()
    assert alerts.open_by_name() == {"batch_below_80_percent": 1}
