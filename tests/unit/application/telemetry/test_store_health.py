"""The share of failed writes and percentiles of queries, and the alerts that follow from them."""

from collections.abc import Sequence
from contextlib import suppress

import pytest

from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry.store_health import LEAST, WINDOW_S, TelemetryHealth
from interfaces.workers.loops.telemetry_monitor import TelemetryMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry


class Hand:
    """A monotonic clock that the test advances."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def health_of(
    writes: Sequence[bool] = (), queries: Sequence[float] = (), hand: Hand | None = None
) -> TelemetryHealth:
    health = TelemetryHealth(hand or Hand())
    for well in writes:
        health.observe_write(well=well)
    for seconds in queries:
        health.observe_query(seconds)
    return health


def test_the_share_of_failed_writes_is_reported() -> None:
    assert health_of([True] * 99 + [False]).write_error_pct() == pytest.approx(1.0)


def test_too_few_calls_give_no_value() -> None:
    health = health_of([False] * (LEAST - 1), [9.0] * (LEAST - 1))
    assert (health.write_error_pct(), health.query_p99_s()) == (None, None)


def test_the_99th_percentile_of_query_times_is_reported() -> None:
    assert health_of(queries=[0.1] * 98 + [2.0] * 2).query_p99_s() == 2.0
    assert health_of(queries=[0.1] * 99 + [2.0]).query_p99_s() == 0.1


def test_old_calls_are_not_counted() -> None:
    hand = Hand()
    health = health_of([False] * 50, hand=hand)
    hand.seconds += WINDOW_S + 1
    for _ in range(LEAST):
        health.observe_write(well=True)
    assert health.write_error_pct() == 0.0


def test_alerts_are_raised_and_cleared_by_process() -> None:
    alerts, clock, hand = FakeAlertRegistry(), FakeClock(), Hand()
    health = health_of([True] * 95 + [False] * 5, [3.0] * 50, hand)
    watch = TelemetryMonitor(health=health, alerts=alerts, clock=clock, process="aggregate")
    watch.check()
    assert {(alert.name, alert.subject) for alert in alerts.listed()} == {
        ("telemetry_write_errors", "aggregate"),
        ("telemetry_queries_slow", "aggregate"),
    }
    hand.seconds += WINDOW_S + 1
    for _ in range(LEAST):
        health.observe_write(well=True)
        health.observe_query(0.01)
    watch.check()
    assert alerts.listed() == []


def test_each_statement_is_observed_with_its_name_and_counted_as_success_or_failure() -> None:
    health, seen = TelemetryHealth(), list[str]()
    health.on_statement = lambda statement, seconds: seen.append(statement)
    for number in range(LEAST):
        with suppress(TelemetryStoreUnavailable), health.timed("write readings", is_write=True):
            if number % 2:
                raise TelemetryStoreUnavailable("away")
        with suppress(TelemetryStoreUnavailable), health.timed("rollups"):
            raise TelemetryStoreUnavailable("away")
    assert health.write_error_pct() == 50.0
    assert health.query_p99_s() is not None
    assert seen == ["write readings", "rollups"] * LEAST
