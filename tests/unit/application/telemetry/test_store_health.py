"""The share of failed writes and percentiles of queries, and the alerts that follow from them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry import store_health
from application.telemetry.store_health import (
    LEAST,
    WINDOW_S,
    MonitoredMeterPowers,
    MonitoredRollups,
    MonitoredTelemetryStore,
    TelemetryHealth,
)
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.windows import TimeWindow
from interfaces.workers.loops.telemetry_monitor import TelemetryMonitor
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore


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
    asyncio.run(watch.check())
    assert {(alert.name, alert.subject) for alert in alerts.listed()} == {
        ("telemetry_write_errors", "aggregate"),
        ("telemetry_queries_slow", "aggregate"),
    }
    hand.seconds += WINDOW_S + 1
    for _ in range(LEAST):
        health.observe_write(well=True)
        health.observe_query(0.01)
    asyncio.run(watch.check())
    assert alerts.listed() == []


def test_every_call_is_counted_as_success_or_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_health, "LEAST", 1)
    store, health = FakeTelemetryStore(), TelemetryHealth()
    heard: list[set[str]] = []
    watched = MonitoredTelemetryStore(store, health, lambda ids: heard.append(set(ids)))
    readings = [MeterReading(name, "m", NOON, 1.0, None) for name in ("a", "b", "a")]
    assert watched.write_readings(3, 7, readings) == 2
    assert (watched.position(3), heard) == (7, [{"a", "b"}])
    assert [value.facility_id for value in watched.current(["b"])] == ["b"]
    window = TimeWindow(NOON, NOON + timedelta(hours=1))
    assert watched.interval_series_of(["a"], window).facility_ids == ("a",)
    store.available = False
    with pytest.raises(TelemetryStoreUnavailable):
        watched.write_readings(3, 8, readings)
    assert health.write_error_pct() == 50.0
    assert health.query_p99_s() is not None
    assert len(heard) == 1


def test_queries_of_load_histories_are_counted_with_either_result() -> None:
    health, store = TelemetryHealth(), FakeTelemetryStore()
    window = TimeWindow(NOON, NOON + timedelta(hours=1))
    rollups = MonitoredRollups(FakeTelemetryRollups(store, FakeClock(NOON)), health)
    powers = MonitoredMeterPowers(FakeMeterPowers(store), health)
    for _ in range(LEAST // 2 - 1):
        rollups.rollups("a", window, 60)
        powers.meter_powers("a", window)
    assert health.query_p99_s() is None
    store.available = False
    with pytest.raises(TelemetryStoreUnavailable):
        rollups.rollups("a", window, 60)
    with pytest.raises(TelemetryStoreUnavailable):
        powers.meter_powers("a", window)
    assert health.query_p99_s() is not None
