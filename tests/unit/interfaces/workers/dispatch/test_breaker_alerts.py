"""An open breaker is alerted until the BMS answers the process that has it, or that process has no use for it."""

from datetime import timedelta

import pytest

from application.ports.operations.alerts import SILENT_S
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.workers.dispatch.breaker_alerts import USED_FOR, BreakerAlerts
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import NOW

SECOND = timedelta(seconds=1)


class Two:
    """Two dispatch processes with one alert registry."""

    def __init__(self) -> None:
        self.wall_s = 1_000.0
        self.clock, self.alerts = FakeClock(NOW), FakeAlertRegistry(monotonic=lambda: self.wall_s)
        self.one, self.other = (BreakerAlerts(self.clock, self.alerts, name) for name in ("one", "other"))

    def open_alerts(self) -> list[str]:
        """The open alerts a second later, after a check of both."""
        self.clock.moment += SECOND
        self.one.check()
        self.other.check()
        return [alert.subject for alert in self.alerts.listed() if alert.name == "bms_breaker_open"]


@pytest.fixture
def two() -> Two:
    return Two()


def opened(two: Two) -> None:
    two.one.changed("fac-001", "opened")
    assert two.open_alerts() == ["fac-001"]


def test_an_open_breaker_is_alerted_until_the_bms_answers_again(two: Two) -> None:
    opened(two)
    two.one.changed("fac-001", "half-opened")
    assert two.open_alerts() == ["fac-001"]
    two.one.changed("fac-001", "opened")
    two.one.call_ended("fac-002")
    assert two.open_alerts() == ["fac-001"]
    two.one.changed("fac-001", "half-opened")
    two.one.changed("fac-001", "closed")
    assert two.open_alerts() == []


def test_an_alert_stays_while_the_breaker_of_either_process_is_open(two: Two) -> None:
    opened(two)
    two.other.changed("fac-001", "opened")
    two.other.changed("fac-001", "closed")
    assert two.open_alerts() == ["fac-001"]
    two.one.changed("fac-001", "closed")
    assert two.open_alerts() == []


def test_the_breakers_of_a_process_that_died_do_not_count(two: Two) -> None:
    opened(two)
    two.one = BreakerAlerts(two.clock, two.alerts, "started in its place")
    two.wall_s += SILENT_S - 1.0
    two.alerts.end_unseen(at=NOW)
    assert two.open_alerts() == ["fac-001"]
    two.wall_s += 1.0
    two.alerts.end_unseen(at=NOW)
    assert two.open_alerts() == []


def test_a_breaker_that_its_process_does_not_use_any_more_does_not_count(two: Two) -> None:
    opened(two)
    two.clock.moment += USED_FOR - 2 * SECOND
    two.one.call_ended("fac-001")
    two.clock.moment += USED_FOR - 2 * SECOND
    assert two.open_alerts() == ["fac-001"]
    two.clock.moment += SECOND
    assert two.open_alerts() == []


def test_an_alert_that_could_not_be_written_is_written_at_the_next_check(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationsUnavailable("the register is away")

    two.one.changed("fac-001", "opened")
    with monkeypatch.context() as without_register:
        without_register.setattr(two.alerts, "state", away)
        with pytest.raises(OperationsUnavailable):
            two.one.check()
    assert two.open_alerts() == ["fac-001"]
