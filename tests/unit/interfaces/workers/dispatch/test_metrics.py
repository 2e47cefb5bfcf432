"""Slow BMSs are alerted once there are enough calls; every call and breaker is a metric."""

import sys
import threading
from datetime import timedelta

import pytest
from prometheus_client import generate_latest

from interfaces.workers.dispatch.metrics import LEAST_CALLS, WINDOW, BmsHealth
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.sample_values import NOW


@pytest.fixture
def health() -> BmsHealth:
    return BmsHealth(FakeClock(NOW), FakeAlertRegistry())


def calls(health: BmsHealth, *seconds: float) -> None:
    for taken in seconds:
        health.call_ended("fac-009", "CommitCommand", "answered", taken)


def open_alerts(health: BmsHealth) -> list[str]:
    return [alert.name for alert in health.alerts.listed()]


def test_a_99th_percentile_above_five_seconds_is_alerted(health: BmsHealth) -> None:
    calls(health, *[0.2] * 98, 6.0, 7.0)
    health.check()
    [alert] = health.alerts.listed()
    assert (alert.name, alert.detail) == (
        "bms_slow",
        "the slowest hundredth of 100 calls in 5 minutes took 6.0 s or more",
    )


def test_one_slow_call_among_many_does_not_raise_the_99th_percentile(health: BmsHealth) -> None:
    calls(health, *[0.2] * 199, 30.0)
    health.check()
    assert open_alerts(health) == []


def test_too_few_calls_give_no_percentile_and_no_alert(health: BmsHealth) -> None:
    calls(health, *[30.0] * (LEAST_CALLS - 1))
    health.check()
    assert (health.p99_s(), open_alerts(health)) == (None, [])


def test_the_alert_clears_once_the_window_has_only_fast_calls_or_none(health: BmsHealth) -> None:
    clock = health.clock
    assert isinstance(clock, FakeClock)
    for then in ([0.2] * LEAST_CALLS, []):
        calls(health, *[30.0] * LEAST_CALLS)
        health.check()
        assert open_alerts(health) == ["bms_slow"]
        clock.moment += WINDOW + timedelta(seconds=1)
        calls(health, *then)
        health.check()
        assert open_alerts(health) == []


def test_calls_may_be_recorded_while_the_percentile_is_computed(health: BmsHealth) -> None:
    calls(health, *[0.2] * 5_000)
    done = threading.Event()

    def go_on_calling() -> None:
        while not done.is_set():
            calls(health, 0.2)

    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    caller = threading.Thread(target=go_on_calling)
    caller.start()
    try:
        assert [health.p99_s() for _ in range(50)] == [0.2] * 50
    finally:
        done.set()
        caller.join()
        sys.setswitchinterval(usual_s)


def test_calls_and_breakers_are_metrics(health: BmsHealth) -> None:
    calls(health, 0.3)
    health.call_ended("fac-009", "CommitCommand", "BmsTimedOut", 30.0)
    health.breaker_changed("fac-001", "opened")
    health.breaker_changed("fac-002", "closed")
    text = generate_latest(health.registry).decode()
    assert 'gridproof_bms_calls_total{operation="CommitCommand",outcome="BmsTimedOut"} 1.0' in text
    assert 'gridproof_bms_call_seconds_count{operation="CommitCommand"} 2.0' in text
    assert 'gridproof_bms_breaker_open{facility="fac-001"} 1.0' in text
    assert 'gridproof_bms_breaker_open{facility="fac-002"} 0.0' in text
