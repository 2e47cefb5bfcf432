"""An open breaker is alerted until the BMS answers, whichever process raised the alert and gets the answer."""

from datetime import timedelta

import pytest

from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.workers.dispatch.breaker_alerts import BreakerAlerts
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import NOW

SECOND = timedelta(seconds=1)


class Two:
    """Two dispatch processes with one alert registry."""

    def __init__(self) -> None:
        self.clock, self.alerts = FakeClock(NOW), FakeAlertRegistry()
        self.one, self.other = (BreakerAlerts(self.clock, self.alerts) for _ in range(2))

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
    two.one.call_ended("fac-001", "BmsTimedOut")
    two.one.changed("fac-001", "opened")
    two.one.call_ended("fac-002", "answered")
    assert two.open_alerts() == ["fac-001"]
    two.one.changed("fac-001", "half-opened")
    two.one.call_ended("fac-001", "refused")
    two.one.changed("fac-001", "closed")
    assert two.open_alerts() == []


@pytest.mark.parametrize("outcome", ["answered", "refused", "BmsAnswerInvalid"])
def test_an_answer_to_another_process_clears_the_alert(two: Two, outcome: str) -> None:
    two.other.call_ended("fac-001", "answered")
    opened(two)
    two.one = BreakerAlerts(two.clock, two.alerts)  # the process was killed and lost its breakers
    assert two.open_alerts() == ["fac-001"], "that answer preceded the alert"
    two.other.call_ended("fac-001", outcome)
    assert two.open_alerts() == []


@pytest.mark.parametrize("outcome", ["BmsTimedOut", "ConnectTimedOut", "BmsUnreachable"])
def test_a_call_without_an_answer_does_not_clear_the_alert(two: Two, outcome: str) -> None:
    opened(two)
    two.other.call_ended("fac-001", outcome)
    assert two.open_alerts() == ["fac-001"]


def test_an_alert_that_could_not_be_written_is_written_at_the_next_check(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationsUnavailable("the register is away")

    two.one.changed("fac-001", "opened")
    with monkeypatch.context() as without_register:
        without_register.setattr(two.alerts, "raise_alert", away)
        with pytest.raises(OperationsUnavailable):
            two.one.check()
    assert two.open_alerts() == ["fac-001"]


def test_a_bms_that_answers_before_the_alert_is_raised_is_not_alerted(two: Two) -> None:
    two.one.changed("fac-001", "opened")
    two.one.call_ended("fac-001", "answered")
    assert two.open_alerts() == []
