"""Migrations that were applied to a running system become administrative acts."""

from datetime import UTC, datetime, timedelta

from application.operations.recorded_migrations import record_migrations
from application.ports.operations.act_log import AppliedMigration
from tests.fakes.clock import FakeClock
from tests.fakes.operations.act_log import FakeActLog

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


APPLIED = [
    AppliedMigration("0001_a.sql", AT),
    AppliedMigration("0002_b.sql", AT + timedelta(seconds=1)),
    AppliedMigration("0022_c.sql", AT + timedelta(days=9)),
]


def recorded(log: FakeActLog, *, after: timedelta) -> int:
    return record_migrations(log, FakeClock(AT + after))


def test_migrations_of_a_running_system_are_recorded_once() -> None:
    log = FakeActLog(APPLIED)
    assert recorded(log, after=timedelta(days=10)) == 1
    assert recorded(log, after=timedelta(days=11)) == 0
    assert [act.migration for act in log.recorded.values()] == ["0022_c.sql"]
