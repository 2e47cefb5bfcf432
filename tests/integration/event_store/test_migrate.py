"""Migrations: each once, in order, one at a time, whoever calls."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from adapters.postgres import migrate as migrations
from adapters.postgres.migrate import MigrationError, migrate, migration_files, pending
from tests.servers import Database

NAMES = [name for name, _ in migration_files()]


def test_every_migration_is_applied_once_and_in_order(empty_database: Database) -> None:
    assert pending(empty_database.owner_dsn) == NAMES
    assert migrate(empty_database.owner_dsn) == NAMES
    assert pending(empty_database.owner_dsn) == []
    assert migrate(empty_database.owner_dsn) == []


def test_of_several_that_migrate_at_once_each_waits_for_the_first(empty_database: Database) -> None:
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda _: migrate(empty_database.owner_dsn), range(6)))
    assert sorted(done, key=len) == [[], [], [], [], [], NAMES]


def test_a_migration_that_was_changed_afterwards_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = [(name, sql + "\n-- another thought") for name, sql in migration_files()]
    monkeypatch.setattr(migrations, "migration_files", lambda: changed)
    with pytest.raises(MigrationError, match="was changed after it was applied; add a new one"):
        migrate(database.owner_dsn)


def test_a_failing_migration_leaves_nothing_of_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = ("9999_nonsense.sql", "CREATE TABLE gridproof.half_done (id int); SELECT nonsense;")
    monkeypatch.setattr(migrations, "migration_files", lambda: [bad])
    with pytest.raises(MigrationError, match=r"9999_nonsense\.sql failed and was rolled back"):
        migrate(database.owner_dsn)

    with psycopg.connect(database.owner_dsn) as connection:
        assert connection.execute("SELECT to_regclass('gridproof.half_done')").fetchone() == (None,)
        assert (
            connection.execute("SELECT 1 FROM gridproof.migrations WHERE name LIKE '9999%'").fetchall() == []
        )


def test_a_role_that_is_no_plain_name_never_reaches_the_database() -> None:
    with pytest.raises(MigrationError, match="no plain role name"):
        migrate("postgresql://nobody@127.0.0.1:1/x", app_role='app"; DROP SCHEMA gridproof; --')


def test_an_unreachable_database_is_named_with_what_to_check() -> None:
    with pytest.raises(MigrationError, match="GRIDPROOF_MIGRATION_DATABASE_URL"):
        migrate("postgresql://nobody@127.0.0.1:1/x?connect_timeout=2")
