"""A database that other migrations made is refused by every process at its start, and nothing in it is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from adapters.postgres.schema import migrate as migrations
from adapters.postgres.schema.migrate import OtherMigrations, migrate, migration_files
from tests.architecture.source_tree import ROOT
from tests.patience import START_S
from tests.servers import Database

_TABLES = """
SELECT n.nspname, c.relname, c.relkind, c.relacl::text, c.relowner::regrole::text,
    (SELECT string_agg(a.attname || a.atttypid::regtype || coalesce(a.attacl::text, ''), ',' ORDER BY a.attnum)
     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 2
"""
_CONTENT = "SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {} AS t"


def digest_of(database: Database) -> str:
    """Of every relation, with its columns and rights, and of every row of every table."""
    digest = sha256()
    with psycopg.connect(database.admin_dsn) as connection:
        for schema, name, kind, *rest in connection.execute(_TABLES).fetchall():
            digest.update(repr((schema, name, kind, *rest)).encode())
            if kind in "rp":
                content = connection.execute(sql.SQL(_CONTENT).format(sql.Identifier(schema, name)))
                digest.update(repr(content.fetchone()).encode())
    return digest.hexdigest()


@pytest.fixture(params=["another text", "another name", "one more"])
def other(
    request: pytest.FixtureRequest, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> tuple[Database, str]:
    """A database that another version made, with some data; and the migration that differs."""
    ours = migration_files()
    name, text = ours[23]
    changed = {
        "another text": [(name, f"{text}\n-- another thought")],
        "another name": [("0024_another_thought.sql", text)],
        "one more": [
            ("0024_another_thought.sql", "-- expand\nCREATE TABLE gridproof.thought (id int);"),
            (name, text),
        ],
    }[request.param]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migration_files", lambda: [*ours[:23], *changed, *ours[24:]])
        migrate(empty_database.owner_dsn)
    with psycopg.connect(empty_database.owner_dsn) as connection:
        connection.execute("INSERT INTO gridproof.write_probes VALUES ('web 1', now())")
    return empty_database, changed[0][0]


def gridproof(database: Database, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    return subprocess.run(
        [sys.executable, "-m", "interfaces.cli", *arguments],
        cwd=ROOT,
        env=inherited
        | {
            "GRIDPROOF_DATABASE_URL": database.app_dsn,
            "GRIDPROOF_MIGRATION_DATABASE_URL": database.owner_dsn,
            "GRIDPROOF_DATA_DIR": str(folder),
            "GRIDPROOF_HTTP_BIND": "127.0.0.1:0",
        },
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def test_the_migrator_names_the_migration_and_changes_nothing(other: tuple[Database, str]) -> None:
    database, name = other
    before = digest_of(database)
    with pytest.raises(
        OtherMigrations, match=f"{name}.*Run the version of Gridproof that made it.*empty database"
    ):
        migrate(database.owner_dsn, alone=True)
    assert digest_of(database) == before


@pytest.mark.parametrize(
    "arguments",
    [("migrate",), ("migrate", "--contract", "9.9"), ("up",), ("worker", "decide"), ("worker", "web")],
    ids=" ".join,
)
@pytest.mark.parametrize("other", ["another name"], indirect=True)
def test_no_process_starts_and_nothing_is_changed(
    other: tuple[Database, str], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    database, name = other
    before, folder = digest_of(database), tmp_path / "data"
    ended = gridproof(database, folder, *arguments)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "another version made this database" in ended.stderr
    assert name in ended.stderr
    assert digest_of(database) == before
    assert not folder.exists()


def test_a_digest_shows_every_change(database: Database) -> None:
    digests = [digest_of(database)]
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        for statement in (
            "INSERT INTO gridproof.write_probes VALUES ('web 1', now())",
            "UPDATE gridproof.write_probes SET written_at = written_at + interval '1 second'",
            "CREATE TABLE gridproof.thought (id int)",
            "GRANT SELECT ON gridproof.thought TO gridproof_app",
            "DROP TABLE gridproof.thought",
        ):
            owner.execute(statement.encode())
            digests.append(digest_of(database))
    assert len(set(digests)) == 5, "the table came and went"
