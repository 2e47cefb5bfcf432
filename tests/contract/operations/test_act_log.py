"""The contract of ActLog."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.act_log import PostgresActLog
from adapters.postgres.schema.migrate import migration_files
from application.ports.operations.act_log import ActLog, AppliedMigration
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
from tests.fakes.operations.act_log import FakeActLog
from tests.servers import Database

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["fake", "postgres"])
def log(request: pytest.FixtureRequest) -> Iterator[ActLog]:
    if request.param == "fake":
        yield FakeActLog([AppliedMigration(name, AT) for name, _ in migration_files()])
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresActLog(pool)


def act(migration: str) -> AdministrativeAct:
    provenance = Provenance(
        correlation_id=UUID(int=1),
        causation_id=UUID(int=1),
        actor="system",
        tenant=None,
        trace_id="0" * 32,
        recorded_at=AT,
    )
    return AdministrativeAct.apply_migration(provenance, migration=migration, applied_at=AT)


def test_an_act_is_recorded_once(log: ActLog) -> None:
    assert log.record([act("0001"), act("0002")]) == 2
    assert log.record([act("0002"), act("0003")]) == 1
    assert log.record([]) == 0


def test_the_migrations_of_the_database_are_listed(log: ActLog) -> None:
    assert [one.name for one in log.migrations()] == [name for name, _ in migration_files()]
