"""Expand and contract: what a migration may remove, and what `migrate --check` reports for files and
database."""

import psycopg
import pytest

from adapters.postgres.schema import migrate as migrations
from adapters.postgres.schema.compatibility_check import check_schema, file_problems, taken_away
from adapters.postgres.schema.migrate import Label, label_of, migrate, migration_files
from tests.servers import Database

FILES = migration_files()


def test_the_migrations_of_this_release_follow_the_rule() -> None:
    """If this fails, label the migration in its first line; see the ADR on event evolution in docs/adr."""
    assert file_problems(FILES) == []


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE gridproof.x;",
        "drop index gridproof.x_idx",
        "ALTER TABLE gridproof.x DROP COLUMN y",
        "ALTER TABLE x ALTER COLUMN y DROP NOT NULL",
        "ALTER TABLE gridproof.x DROP CONSTRAINT x_y_key",
        "ALTER TABLE gridproof.x DROP CONSTRAINT x_check, DROP COLUMN y",
        "ALTER TABLE gridproof.x RENAME TO z",
        "ALTER TABLE gridproof.x RENAME COLUMN y TO z",
        "ALTER TABLE gridproof.x ALTER COLUMN y TYPE bigint",
        "ALTER TABLE gridproof.x ALTER y SET DATA TYPE bigint",
        "ALTER TABLE gridproof.x ALTER COLUMN y SET NOT NULL",
        "ALTER TABLE gridproof.x ADD COLUMN y text NOT NULL",
        "ALTER TABLE gridproof.x ADD y text NOT NULL",
        "ALTER TABLE gridproof.x ADD CONSTRAINT c CHECK (y > 0)",
        "ALTER TABLE gridproof.x ADD UNIQUE (y)",
        "ALTER TYPE gridproof.t RENAME TO u",
        "CREATE UNIQUE INDEX x_y ON gridproof.x (y)",
        "TRUNCATE gridproof.x",
        "DELETE FROM gridproof.x WHERE y = 1",
        "REVOKE INSERT ON gridproof.x FROM gridproof_app",
        "DO $$ BEGIN DROP TABLE gridproof.x; END $$",
        "DO $$ BEGIN EXECUTE format('ALTER TABLE gridproof.%I RENAME TO y', 'x'); END $$",
        "CREATE TABLE gridproof.y (a int); ALTER TABLE gridproof.x DROP COLUMN y",
    ],
)
def test_a_statement_that_breaks_an_older_release_is_reported(sql: str) -> None:
    assert len(list(taken_away(sql))) == 1
    assert len(file_problems([*FILES, (f"{len(FILES) + 1:04}_x.sql", f"-- expand\n{sql}")])) == 1
    assert (
        file_problems([*FILES, (f"{len(FILES) + 1:04}_x.sql", f"-- contract: needs release 1.2\n{sql}")])
        == []
    )


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE gridproof.x DROP CONSTRAINT x_check",
        "ALTER TABLE gridproof.x DROP CONSTRAINT x_check1",
        "CREATE TABLE gridproof.x (y text NOT NULL); CREATE UNIQUE INDEX x_y ON gridproof.x (y);",
        "CREATE TABLE gridproof.x (y text); ALTER TABLE gridproof.x ADD CONSTRAINT c CHECK (y <> '');",
        "ALTER TABLE gridproof.x ADD COLUMN y text",
        "ALTER TABLE gridproof.x ADD COLUMN y text NOT NULL DEFAULT ''",
        "ALTER TABLE gridproof.x ADD COLUMN y bigint GENERATED ALWAYS AS IDENTITY NOT NULL",
        "-- DROP TABLE x;\n/* TRUNCATE x; */ SELECT 'DROP TABLE x;'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE x; END $$;",
        "ALTER TYPE gridproof.t ADD VALUE 'u'",
        "CREATE INDEX x_y ON gridproof.x (y)",
        "REVOKE ALL ON FUNCTION f() FROM PUBLIC",
        "UPDATE gridproof.x SET y = 1",
    ],
)
def test_an_additive_statement_is_accepted(sql: str) -> None:
    assert list(taken_away(sql)) == []


@pytest.mark.parametrize(
    ("first_line", "label"),
    [
        ("-- expand", Label("expand")),
        ("-- contract: needs release 0.3", Label("contract", "0.3")),
        ("-- contract: needs release 1.2.3", Label("contract", "1.2.3")),
        ("-- contract", None),
        ("-- contract: needs release soon", None),
        ("-- A table.", None),
    ],
)
def test_the_first_line_of_a_migration_states_its_kind(first_line: str, label: Label | None) -> None:
    assert label_of(f"{first_line}\nSELECT 1;") == label
    problems = file_problems([*FILES, (f"{len(FILES) + 1:04}_x.sql", f"{first_line}\nSELECT 1;")])
    assert (problems == []) == (label is not None)


@pytest.mark.parametrize("name", ["{:04}_X.sql", "{:03}_x.sql", "x.sql"])
def test_a_file_with_an_invalid_name_is_reported(name: str) -> None:
    [problem] = file_problems([*FILES, (name.format(len(FILES) + 1), "-- expand\n")])
    assert "numbered without a gap" in problem


def test_a_gap_and_a_duplicate_number_are_reported() -> None:
    assert len(file_problems([*FILES, (f"{len(FILES) + 2:04}_x.sql", "-- expand\n")])) == 1
    assert len(file_problems([*FILES, (f"{len(FILES):04}_zz.sql", "-- expand\n")])) == 1


def test_a_check_changes_nothing_not_even_in_an_empty_database(empty_database: Database) -> None:
    found = check_schema(empty_database.owner_dsn)
    assert found.pending == [name for name, _ in FILES]
    assert found.needs.keys() <= set(found.pending)
    assert not found.is_clean
    with psycopg.connect(empty_database.owner_dsn) as connection:
        assert connection.execute("SELECT to_regnamespace('gridproof')").fetchone() == (None,)

    migrate(empty_database.owner_dsn)
    assert check_schema(empty_database.owner_dsn).is_clean
    assert check_schema(empty_database.app_dsn).is_clean


def test_changed_late_and_newer_migrations_are_reported(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracting = (f"{len(FILES) + 1:04}_x.sql", "-- contract: needs release 0.9\nDROP TABLE gridproof.x;")
    changed = [(FILES[0][0], f"{FILES[0][1]}-- another thought\n"), *FILES[1:], contracting]
    monkeypatch.setattr(migrations, "migration_files", lambda: changed)
    found = check_schema(database.owner_dsn)
    assert found.pending == [contracting[0]]
    assert found.needs == {contracting[0]: "0.9"}
    assert found.problems == [f"{FILES[0][0]}: was changed after it was applied; add a new one instead"]

    monkeypatch.setattr(migrations, "migration_files", lambda: FILES)
    with psycopg.connect(database.owner_dsn) as connection:
        connection.execute("DELETE FROM gridproof.migrations WHERE name = %s", (FILES[2][0],))
        connection.execute("INSERT INTO gridproof.migrations (name, sha256) VALUES ('9000_newer.sql', 'x')")
    found = check_schema(database.owner_dsn)
    assert (found.pending, found.ahead) == ([FILES[2][0]], ["9000_newer.sql"])
    assert found.problems == [f"{FILES[2][0]}: comes before {FILES[-1][0]}, which is applied already"]
