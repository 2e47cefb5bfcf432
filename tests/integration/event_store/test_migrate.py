"""Migrations are applied once each, in order, by one process at a time."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from adapters.postgres.schema import migrate as migrations
from adapters.postgres.schema.compatibility_check import check_schema
from adapters.postgres.schema.migrate import (
    ContractingMigrationDue,
    MigrationError,
    MigrationResult,
    OtherMigrations,
    migrate,
    migration_files,
)
from application.operations.release import release_of
from tests.servers import Database

FILES = migration_files()
NAMES = [name for name, _ in FILES]


def test_every_migration_is_applied_once_and_in_order(empty_database: Database) -> None:
    assert check_schema(empty_database.owner_dsn).pending == NAMES
    assert migrate(empty_database.owner_dsn).applied == NAMES
    assert check_schema(empty_database.owner_dsn).pending == []
    assert migrate(empty_database.owner_dsn).applied == []


def test_concurrent_migrations_wait_for_the_first(empty_database: Database) -> None:
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda _: migrate(empty_database.owner_dsn).applied, range(6)))
    assert sorted(done, key=len) == [[], [], [], [], [], NAMES]


def test_an_applied_migration_that_was_changed_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = [(name, sql + "\n-- another thought") for name, sql in migration_files()]
    monkeypatch.setattr(migrations, "migration_files", lambda: changed)
    with pytest.raises(
        OtherMigrations, match=r"its migration 0001_event_store\.sql is not that of this version"
    ):
        migrate(database.owner_dsn)


def test_a_failing_migration_is_rolled_back_completely(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = ("9999_nonsense.sql", "CREATE TABLE gridproof.half_done (id int); SELECT nonsense;")
    monkeypatch.setattr(migrations, "migration_files", lambda: [*FILES, bad])
    with pytest.raises(MigrationError, match=r"9999_nonsense\.sql failed and was rolled back"):
        migrate(database.owner_dsn)

    with psycopg.connect(database.owner_dsn) as connection:
        assert connection.execute("SELECT to_regclass('gridproof.half_done')").fetchone() == (None,)
        assert (
            connection.execute("SELECT 1 FROM gridproof.migrations WHERE name LIKE '9999%'").fetchall() == []
        )


def test_an_invalid_role_name_never_reaches_the_database() -> None:
    with pytest.raises(MigrationError, match="no plain role name"):
        migrate("postgresql://nobody@127.0.0.1:1/x", app_role='app"; DROP SCHEMA gridproof; --')


def test_an_unreachable_database_is_reported_with_advice() -> None:
    with pytest.raises(MigrationError, match="GRIDPROOF_MIGRATION_DATABASE_URL"):
        migrate("postgresql://nobody@127.0.0.1:1/x?connect_timeout=2")


# ------------------------------------------------------------------------------------------ expand and contract

EXPANDING = (f"{len(NAMES) + 1:04}_more.sql", "-- expand\nCREATE TABLE gridproof.more (id int);")
CONTRACTING = (f"{len(NAMES) + 2:04}_less.sql", "-- contract: needs release 1.2\nDROP TABLE gridproof.more;")
NEXT = (f"{len(NAMES) + 3:04}_next.sql", "-- expand\nCREATE TABLE gridproof.next (id int);")
LATER = (
    f"{len(NAMES) + 4:04}_even_less.sql",
    "-- contract: needs release 1.10\nDROP TABLE IF EXISTS gridproof.next;",
)


def shipped(monkeypatch: pytest.MonkeyPatch, *more: tuple[str, str]) -> None:
    """Simulate a release with these additional migrations."""
    files = [*migration_files(), *more]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)


def tables(database: Database) -> set[str]:
    with psycopg.connect(database.owner_dsn) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'gridproof' AND tablename IN ('more', 'next')"
        ).fetchall()
    return {name for (name,) in rows}


def test_a_contracting_migration_is_held_back_for_an_older_release(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped(monkeypatch, EXPANDING, CONTRACTING)
    for applied in ([EXPANDING[0]], []):
        done = migrate(database.owner_dsn)
        assert done == MigrationResult(applied=applied, held_back={CONTRACTING[0]: "1.2"})
        assert tables(database) == {"more"}
    found = check_schema(database.owner_dsn)
    assert (found.pending, found.kinds) == ([CONTRACTING[0]], {CONTRACTING[0]: "contract"})
    assert found.only_contracting
    assert not found.is_clean


@pytest.mark.parametrize(
    ("oldest", "is_applied"),
    [("1.1", False), ("1.1.9", False), ("1.2", True), ("1.2.0", True), ("1.10", True)],
)
def test_a_contracting_migration_is_applied_once_no_older_release_runs(
    database: Database, monkeypatch: pytest.MonkeyPatch, oldest: str, is_applied: bool
) -> None:
    shipped(monkeypatch, EXPANDING, CONTRACTING)
    done = migrate(database.owner_dsn, oldest_release=oldest)
    assert (CONTRACTING[0] in done.applied) == is_applied == (done.held_back == {})
    assert tables(database) == (set() if is_applied else {"more"})


def test_a_migration_after_a_held_back_one_is_refused_and_nothing_is_applied(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped(monkeypatch, EXPANDING, CONTRACTING, NEXT, LATER)
    with pytest.raises(
        ContractingMigrationDue, match=rf"{NEXT[0]} comes after {CONTRACTING[0]}.* --contract 1\.2`"
    ):
        migrate(database.owner_dsn)
    assert tables(database) == set()
    done = migrate(database.owner_dsn, oldest_release="1.9")
    assert done.applied == [EXPANDING[0], CONTRACTING[0], NEXT[0]]
    assert done.held_back == {LATER[0]: "1.10"}
    assert migrate(database.owner_dsn, oldest_release="2.0").applied == [LATER[0]]


def test_all_migrations_are_applied_at_once_to_an_empty_or_unused_database(
    database: Database, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name, _ in migration_files()]
    shipped(monkeypatch, EXPANDING, CONTRACTING, NEXT, LATER)
    assert not check_schema(empty_database.owner_dsn).only_contracting
    added = [EXPANDING[0], CONTRACTING[0], NEXT[0], LATER[0]]
    assert migrate(empty_database.owner_dsn).applied == [*names, *added]
    assert migrate(database.owner_dsn, alone=True) == MigrationResult(applied=added, held_back={})


@pytest.mark.parametrize("written", ["1", "1.", "1.2.3.4", "v1.2", "1.2-rc1", "soon", ""])
def test_an_invalid_release_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no release"):
        release_of(written)


def test_releases_are_compared_by_their_numbers() -> None:
    assert release_of("1.2") == release_of("1.2.0") < release_of("1.2.1") < release_of("1.10")
