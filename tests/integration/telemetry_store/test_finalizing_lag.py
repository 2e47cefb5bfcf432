"""The lag of finalization is reported as the age of the longest waiting quarter-hour, on a real PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.rollups.lag import PostgresFinalizingLag
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from domain.telemetry.meter_reading import MeterReading, partition_of
from interfaces.workers.watch.rollup_monitor import BEHIND_S, RollupMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.servers import Database

NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


class Watched:
    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.pool, self.clock, self.alerts = pool, FakeClock(NOW), FakeAlertRegistry()
        self.store = PostgresTelemetryStore(pool, self.clock)
        self.rollups = PostgresTelemetryRollups(pool, self.clock)

    def write(self, at: datetime) -> None:
        reading = MeterReading("fac-001", "m1", at, 10.0, 1.0)
        self.store.write_readings(partition_of("fac-001"), 1, [reading])

    def noted_ago(self, age: timedelta) -> None:
        with self.pool.connection() as conn:
            conn.execute("UPDATE unsettled_quarters SET noted_at = clock_timestamp() - %s", (age,))

    def check(self) -> list[str]:
        watch = RollupMonitor(PostgresFinalizingLag(self.pool), self.alerts, self.clock)
        watch.check()
        return [alert.detail for alert in self.alerts.listed()]


@pytest.fixture
def watched(database: Database) -> Iterator[Watched]:
    with ConnectionPool[Any](database.owner_dsn, min_size=1, max_size=2) as pool:
        yield Watched(pool)


def test_a_quarter_hour_that_is_not_finalized_is_reported_until_it_is(watched: Watched) -> None:
    watched.write(NOW - timedelta(hours=2))
    watched.noted_ago(timedelta(minutes=100))
    [detail] = watched.check()
    assert "quarter-hours wait to be finalized, that of fac-001 from 2026-07-14" in detail
    assert detail.endswith("for 100 minutes")
    watched.rollups.finalize(partition_of("fac-001"), limit=10)
    assert watched.check() == []


def test_an_old_reading_that_has_just_arrived_is_not_behind(watched: Watched) -> None:
    watched.write(NOW - timedelta(days=30))
    assert watched.check() == []


def test_a_quarter_hour_that_has_not_ended_is_not_behind(watched: Watched) -> None:
    watched.write(NOW - timedelta(minutes=14))
    watched.noted_ago(timedelta(days=1))
    assert watched.check() == []


def test_the_lag_is_measured_in_wall_time(watched: Watched) -> None:
    """Two simulated hours are two wall minutes at 60 times the speed."""
    watched.write(NOW - timedelta(hours=2))
    watched.noted_ago(timedelta(days=1))
    watched.clock = FakeClock(NOW, speed=60.0)
    assert BEHIND_S > 2 * 60
    assert watched.check() == []
