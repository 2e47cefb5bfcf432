"""The data of an older release in a new database and a new data folder, as `make_dump.py` wrote it."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from click.testing import CliRunner, Result
from psycopg import sql

from application.event_store.upcasters import present_topic
from interfaces.cli import main
from tests.servers import Database, PostgresServer, fresh_database

_READ_MODELS = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'gridproof' AND c.relkind = 'p' AND c.relname LIKE 'rm\\_%' ORDER BY c.relname
"""
Rows = dict[str, list[dict[str, Any]]]
"""Table -> rows, in order."""


@dataclass(frozen=True)
class Dump:
    """A folder that `make_dump.py` wrote."""

    folder: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.folder / "facts.json").read_text())
        return facts

    @cached_property
    def answers(self) -> dict[str, Any]:
        """Path -> the release's answer to an administrator."""
        answers: dict[str, Any] = json.loads(self.unpacked("answers.json"))
        return answers

    @property
    def clock_at(self) -> datetime:
        """The time of the system's clock at the dump; a resumed system starts there."""
        return datetime.fromisoformat(self.facts["clock_at"])

    def key(self, role: str) -> str:
        return str(self.facts["keys"][role]["key"])

    def unpacked(self, name: str) -> bytes:
        return lzma.decompress((self.folder / f"{name}.xz").read_bytes())


@dataclass(frozen=True)
class RestoredRelease:
    """The data of the older release, used with the code of this tree."""

    dump: Dump
    database: Database
    data: Path
    rows: Rows
    """The rows of the read models at the dump."""

    @property
    def environ(self) -> dict[str, str]:
        return {
            "GRIDPROOF_DATABASE_URL": self.database.app_dsn,
            "GRIDPROOF_MIGRATION_DATABASE_URL": self.database.owner_dsn,
            "GRIDPROOF_DATA_DIR": str(self.data),
            "GRIDPROOF_BMS_NETWORKS": "127.0.0.0/8",
        }

    def log_head(self) -> int:
        """The position of the newest domain event."""
        with psycopg.connect(self.database.admin_dsn) as connection:
            row = connection.execute(
                "SELECT max(notification_id) FROM gridproof.demand_response_events"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def run(self, *arguments: object, environ: Mapping[str, str] | None = None) -> Result:
        runner = CliRunner(env=self.environ | dict(environ or {}))
        return runner.invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)

    def document(self, *arguments: object, environ: Mapping[str, str] | None = None) -> Any:
        """The JSON document of a command that succeeds."""
        result = self.run(*arguments, "--json", environ=environ)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@contextmanager
def restored(server: PostgresServer, dump: Dump, data: Path) -> Iterator[RestoredRelease]:
    """Restore the data into a separate database, without migration."""
    data.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(dump.unpacked("data_folder.tar"))) as tar:
        tar.extractall(data, filter="data")
    with fresh_database(server, migrated=False) as database:
        with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
            _restore(connection, dump.unpacked("database.sql"))
        yield RestoredRelease(dump, database, data, read_model_rows(database))


def read_model_rows(database: Database) -> Rows:
    """The newest generation of every read model, as JSON documents."""
    with psycopg.connect(database.admin_dsn) as connection:
        return {
            str(table): [
                row
                for (row,) in connection.execute(
                    sql.SQL(
                        "SELECT to_jsonb(t) - 'generation' FROM gridproof.{0} t "
                        "WHERE generation = (SELECT max(generation) FROM gridproof.{0}) ORDER BY to_jsonb(t)"
                    ).format(sql.Identifier(str(table)))
                )
            ]
            for (table,) in connection.execute(_READ_MODELS.encode()).fetchall()
        }


def covers(new: Any, old: Any) -> bool:
    """Whether `new` has every value of `old`; it may have more fields."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(name in new and covers(new[name], old[name]) for name in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(covers, new, old))
    return bool(new == old)


def with_present_topics(document: Any) -> Any:
    """The document as this tree names the domain events in it: by the version that an older one is read as."""
    if isinstance(document, list):
        return [with_present_topics(item) for item in document]
    if not isinstance(document, dict):
        return document
    return {
        name: present_topic(value)
        if name == "topic" and isinstance(value, str)
        else with_present_topics(value)
        for name, value in document.items()
    }


def _restore(connection: psycopg.Connection, script: bytes) -> None:
    """Run SQL text of pg_dump, with its COPY blocks."""
    statements: list[bytes] = []
    lines = iter(script.splitlines(keepends=True))
    for line in lines:
        statements.append(line)
        if line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            connection.execute(b"".join(statements[:-1]))
            statements = []
            with connection.cursor().copy(line) as copy:
                for row in iter(lambda: next(lines), b"\\.\n"):
                    copy.write(row)
    connection.execute(b"".join(statements))
