"""What failed is tried again, also after another process has worked in the meantime."""

from application.ports.operations.alerts import every_open_alert
from interfaces.workers.compute.failing_subjects import FailingSubjects
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import NOW


def test_what_failed_in_another_process_is_tried_again_after_a_reset_and_its_alert_clears() -> None:
    alerts, clock = FakeAlertRegistry(), FakeClock(NOW)
    mine, other = (FailingSubjects(alerts, clock, alert="settlement_failing", retry_s=0.0) for _ in range(2))
    assert mine.to_try() == []
    other.failed("dr-event-1", ValueError("a reading"))
    mine.reset()
    assert mine.to_try() == ["dr-event-1"]
    mine.succeeded("dr-event-1")
    assert every_open_alert(alerts) == []
