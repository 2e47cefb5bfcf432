"""Every call of a telemetry store is timed by the name of its statement, where its transaction begins."""

from datetime import timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.meter_powers import PostgresMeterPowers
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry import store_health
from application.telemetry.store_health import TelemetryHealth
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import NOON, FakeClock
from tests.servers import Database
from tests.stored_intervals import coverage


def test_reads_and_writes_are_observed_whether_they_succeed_or_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_health, "LEAST", 1)
    health, seen, clock = TelemetryHealth(), list[str](), FakeClock(NOON)
    health.on_statement = lambda statement, seconds: seen.append(statement)
    window = TimeWindow(NOON, NOON + timedelta(hours=1))
    readings = [MeterReading("fac-001", "m1", NOON, 1.0, None)]
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        store = PostgresTelemetryStore(pool, clock, health)
        store.write_readings(3, 1, readings)
        store.current(["fac-001"])
        coverage(store, "fac-001", window)
        PostgresTelemetryRollups(pool, clock, health).rollups("fac-001", window, 60)
        PostgresMeterPowers(pool, health).meter_powers("fac-001", window)
    assert seen == ["write readings", "current values", "intervals", "rollups", "powers of meters"]
    assert health.write_error_pct() == 0.0
    with pytest.raises(TelemetryStoreUnavailable):  # the pool is closed
        store.write_readings(3, 2, readings)
    assert health.write_error_pct() == 50.0
    assert health.query_p99_s() is not None
