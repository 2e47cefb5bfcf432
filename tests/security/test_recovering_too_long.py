"""A DR event that is still recovering long after its last restore ramp pages somebody, by name."""

from datetime import timedelta
from functools import partial

from application.commands.dispatch import RestoreByHand
from application.commands.dr_event import CancelDREvent, EndDREvent
from domain.dispatch.restore import last_ramp_at
from domain.facility import Facility
from interfaces.workers.watch.recovery_monitor import ALERT, RecoveryMonitor
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, zone_entry

BOTH = ("fac-001", "fac-002")
MINUTE = timedelta(minutes=1)


def check(there: InProcessSystem, after: timedelta) -> list[tuple[str, str, str]]:
    """The open alerts of that name when the monitor checks so long after the end."""
    there.scenario.at(ENDS_AT + after)
    models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
    RecoveryMonitor(
        overdue=partial(models.deadlines.overdue_work, "recovery"),
        dispatches=models.dispatches,
        alerts=there.alerts,
        clock=there.scenario.clock,
    ).check()
    return [
        (alert.severity, alert.subject, alert.detail)
        for alert in there.alerts.listed()
        if alert.name == ALERT
    ]


def with_lost_restores(**zone: int) -> InProcessSystem:
    there = InProcessSystem.accepted(*BOTH, zones=(zone_entry("hall", **zone),)).until("active")
    there.scenario.at(ENDS_AT).after(EndDREvent(dr_event_id=DR_EVENT_ID))
    for _ in range(9):
        there.relay_all()
    there.take()
    return there


def test_a_dr_event_that_recovers_for_too_long_pages_until_it_is_over() -> None:
    there = with_lost_restores()
    assert check(there, 14 * MINUTE) == []
    page = ("page", str(DR_EVENT_ID), "not restored: fac-001, fac-002")
    assert check(there, 15 * MINUTE) == [page]
    assert check(there, 16 * MINUTE) == [page]
    there.settle()
    assert check(there, 17 * MINUTE) == [page]
    for facility_id in BOTH:
        there.do(RestoreByHand(dr_event_id=DR_EVENT_ID, facility_id=facility_id, reason="done on site"))
    assert there.dr_event.status == "completed"
    assert check(there, 18 * MINUTE) == []


def test_a_ramp_or_a_minimum_off_time_is_waited_for() -> None:
    ramp = with_lost_restores(rebound_ramp_s=600)
    assert check(ramp, 24 * MINUTE) == []
    assert len(check(ramp, 25 * MINUTE)) == 1
    off = with_lost_restores(minimum_off_s=7_200).dispatch()
    assert last_ramp_at(off, released_at=ENDS_AT - 60 * MINUTE) == ENDS_AT


def test_a_dr_event_that_was_cancelled_while_active_pages_as_well() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.scenario.at(ENDS_AT - 30 * MINUTE).after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="storm"))
    for _ in range(9):
        there.relay_all()
    there.take()
    assert check(there, -16 * MINUTE) == []
    assert len(check(there, -15 * MINUTE)) == 1
    assert there.recorded(Facility.Released) == []


def test_a_dr_event_that_is_over_in_time_never_pages() -> None:
    there = InProcessSystem.accepted(*BOTH).until("completed")
    assert check(there, timedelta(days=1)) == []
