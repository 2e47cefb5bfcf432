"""The contract of ActLog."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.act_log import PostgresActLog
from adapters.postgres.schema.migrate import migration_files
from application.ports.operations.act_log import ActLog, AppliedMigration
from application.ports.operations.unavailable import OperationsUnavailable
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
from tests.fakes.operations.act_log import FakeActLog
from tests.patience import ANSWER_S
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


_WAITING = (
    "SELECT count(*) FROM pg_locks JOIN pg_database AS here ON here.oid = database"
    " WHERE datname = current_database() AND NOT granted"
)


def test_of_two_processes_that_start_together_one_records_the_acts(database: Database) -> None:
    def record(log: ActLog) -> int:
        """As a worker at its start: again until it can be done."""
        while True:
            try:
                return log.record([act("0001"), act("0002")])
            except OperationsUnavailable:
                time.sleep(0.01)

    with (
        ConnectionPool[Any](database.app_dsn, min_size=2, max_size=2) as pool,
        psycopg.connect(database.admin_dsn, autocommit=True) as admin,
        ThreadPoolExecutor(2) as processes,
    ):
        with psycopg.connect(database.admin_dsn) as saving:
            saving.execute("LOCK TABLE gridproof.demand_response_events IN EXCLUSIVE MODE")
            both = [processes.submit(record, PostgresActLog(pool)) for _ in range(2)]
            deadline = time.monotonic() + ANSWER_S
            while admin.execute(_WAITING).fetchone() != (2,):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert sorted(one.result(ANSWER_S) for one in both) == [0, 2]
