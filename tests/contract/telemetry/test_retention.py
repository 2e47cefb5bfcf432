"""The contract of TelemetryRetention: PostgreSQL's and the fake's."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.retention import PostgresTelemetryRetention
from application.ports.telemetry.retention import TelemetryRetention
from tests.fakes.telemetry.retention import FakeTelemetryRetention
from tests.servers import Database

T0 = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
Rollups = Callable[[list[datetime]], None]


@pytest.fixture(params=["fake", "postgres"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[TelemetryRetention, Rollups]]:
    """A store with storage for three days, and a function that stores intervals in it."""
    days = [(T0 + timedelta(days=n)).date() for n in range(3)]
    if request.param == "fake":
        fake = FakeTelemetryRetention()
        fake.days = dict.fromkeys(days, 0.0)
        yield fake, fake.rollups.extend
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        with pool.connection() as conn:
            for day in days:
                conn.execute("SELECT prepare_readings_day(%s)", (day,))

        def put(starts: list[datetime]) -> None:
            with pool.connection() as conn:
                conn.execute(
                    "INSERT INTO rollups (facility_id, starts_at, step_s, coverage_pct, readings, replaced, rows_seen,"
                    " settled_at) SELECT 'a', at, 900, 0, 0, 0, 0, at FROM unnest(%s::timestamptz[]) AS t (at)",
                    (starts,),
                )

        yield PostgresTelemetryRetention(pool), put


def test_days_are_listed_oldest_first_and_dropped_one_by_one(
    both: tuple[TelemetryRetention, Rollups],
) -> None:
    store, _ = both
    first, second, third = store.raw_days()
    assert (first, third) == (T0.date(), (T0 + timedelta(days=2)).date())
    assert store.drop_raw_day(second, min_age_wall_s=0.0)
    assert store.raw_days() == [first, third]


def test_dropping_a_day_twice_succeeds(both: tuple[TelemetryRetention, Rollups]) -> None:
    store, _ = both
    day = store.raw_days()[0]
    assert [store.drop_raw_day(day, min_age_wall_s=0.0) for _ in range(2)] == [True, True]


def test_a_recently_created_day_is_not_dropped(both: tuple[TelemetryRetention, Rollups]) -> None:
    store, _ = both
    days = store.raw_days()
    assert not store.drop_raw_day(days[0], min_age_wall_s=3_600.0)
    assert store.raw_days() == days


def test_intervals_before_a_time_are_deleted_in_batches_up_to_the_limit(
    both: tuple[TelemetryRetention, Rollups],
) -> None:
    store, put = both
    put([T0 + timedelta(minutes=15 * n) for n in range(10)])
    bound = T0 + timedelta(minutes=15 * 7)
    assert [store.delete_rollups_before(bound, limit=4) for _ in range(3)] == [4, 3, 0]
    assert store.delete_rollups_before(T0 + timedelta(days=1), limit=100) == 3
