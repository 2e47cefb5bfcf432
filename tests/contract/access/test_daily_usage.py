"""The contract of DailyUsage."""

from collections.abc import Iterator
from datetime import date

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.access.daily_usage import PostgresDailyUsage
from application.ports.access.daily_usage import DailyUsage
from tests.fakes.access.daily_usage import FakeDailyUsage
from tests.servers import Database

DAY = date(2026, 7, 14)


@pytest.fixture(params=["fake", "postgres"])
def usage(request: pytest.FixtureRequest) -> Iterator[DailyUsage]:
    if request.param == "fake":
        yield FakeDailyUsage()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool(database.app_dsn, min_size=1, max_size=4) as pool:
        yield PostgresDailyUsage(pool)


def test_what_fits_is_counted_and_what_does_not_is_not(usage: DailyUsage) -> None:
    assert usage.add("util-1", "stored_bytes", 60, day=DAY, most=100)
    assert not usage.add("util-1", "stored_bytes", 41, day=DAY, most=100)
    assert usage.add("util-1", "stored_bytes", 40, day=DAY, most=100)
    assert not usage.add("util-1", "stored_bytes", 1, day=DAY, most=100)


def test_more_than_the_quota_is_refused_at_once(usage: DailyUsage) -> None:
    assert not usage.add("util-1", "stored_bytes", 101, day=DAY, most=100)


def test_utilities_kinds_and_days_are_counted_apart(usage: DailyUsage) -> None:
    assert usage.add("util-1", "stored_bytes", 100, day=DAY, most=100)
    assert usage.add("util-2", "stored_bytes", 100, day=DAY, most=100)
    assert usage.add("util-1", "unknown_cancellations", 100, day=DAY, most=100)
    assert usage.add("util-1", "stored_bytes", 100, day=date(2026, 7, 15), most=100)
