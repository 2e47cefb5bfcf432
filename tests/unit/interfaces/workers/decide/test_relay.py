"""The relay, apart from running the saga."""

from tests.in_process_system import InProcessSystem


def test_a_batch_in_which_too_few_facilities_serve_raises_an_alert() -> None:
    world = InProcessSystem.accepted("fac-001", "fac-002")
    world.control.fail_next("fac-002", "refuse")
    world.until("completed")
    (alert,) = [alert for alert in world.alerts.listed() if alert.name == "batch_below_80_percent"]
    assert alert.subject == str(world.dr_event.dr_event_id)
    assert alert.detail == "1 of 2 facilities served"


def test_a_batch_in_which_all_facilities_serve_raises_no_alert() -> None:
    world = InProcessSystem.accepted("fac-001", "fac-002")
    world.until("completed")
    assert world.dr_event.status == "completed"
    assert "batch_below_80_percent" not in {alert.name for alert in world.alerts.listed()}
