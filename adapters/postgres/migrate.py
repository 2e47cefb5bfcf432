"""Migrations: plain SQL files, applied in order by the owner's role, each in one transaction, each once."""

import re
from hashlib import sha256
from importlib.resources import files

import psycopg

LOCK_KEY = 7_214_001
APP_ROLE = "gridproof_app"
"""The role that the files name in their grants."""
_BOOKKEEPING = """
CREATE SCHEMA IF NOT EXISTS gridproof;
CREATE TABLE IF NOT EXISTS gridproof.migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


class MigrationError(Exception):
    """The database could not be brought to this release's schema; the text says what to do."""


def migration_files() -> list[tuple[str, str]]:
    """(name, SQL) of every migration, in order."""
    folder = files("adapters.postgres") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]


def pending(owner_dsn: str) -> list[str]:
    """The names of the migrations that are still to be applied. Raises MigrationError."""
    with _connected(owner_dsn) as connection:
        applied = _applied(connection)
        return [name for name, _ in migration_files() if name not in applied]


def applied_digests(owner_dsn: str) -> dict[str, str]:
    """(name -> SHA-256) of what was applied; changes nothing, not even in an empty database. Raises MigrationError."""
    try:
        with psycopg.connect(owner_dsn, connect_timeout=10) as connection:
            connection.read_only = True
            if connection.execute("SELECT to_regclass('gridproof.migrations')").fetchone() == (None,):
                return {}
            rows = connection.execute("SELECT name, sha256 FROM gridproof.migrations").fetchall()
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error
    return {str(name): str(digest) for name, digest in rows}


def migrate(owner_dsn: str, *, app_role: str = APP_ROLE) -> list[str]:
    """Apply what is pending and name it; concurrent callers wait for each other. Raises MigrationError.

    `app_role` is the role that the application connects as; the grants of the files go to it.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", app_role):
        raise MigrationError(f"{app_role!r} is no plain role name; create one like {APP_ROLE}")
    with _connected(owner_dsn) as connection:
        applied = _applied(connection)
        done = []
        for name, sql in migration_files():
            if name not in applied:
                _apply(connection, name, sql, app_role)
                done.append(name)
        return done


def _connected(owner_dsn: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        connection = psycopg.connect(owner_dsn, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error
    # Freed with the connection. Before the first statement: even CREATE ... IF NOT EXISTS fails in a race.
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
    connection.execute(_BOOKKEEPING)
    return connection


def _unreachable(error: psycopg.OperationalError) -> MigrationError:
    return MigrationError(
        f"the database cannot be reached to migrate it: {error}; check GRIDPROOF_MIGRATION_DATABASE_URL"
    )


def _applied(connection: psycopg.Connection[tuple[object, ...]]) -> set[str]:
    rows = connection.execute("SELECT name, sha256 FROM gridproof.migrations").fetchall()
    known = dict(migration_files())
    for name, digest in rows:
        sql = known.get(str(name))
        if sql is not None and digest_of(sql) != digest:
            raise MigrationError(f"migration {name} was changed after it was applied; add a new one instead")
    return {str(name) for name, _ in rows}


def _apply(connection: psycopg.Connection[tuple[object, ...]], name: str, sql: str, app_role: str) -> None:
    try:
        with connection.transaction():
            connection.execute(sql.replace(APP_ROLE, app_role).encode())
            connection.execute(
                "INSERT INTO gridproof.migrations (name, sha256) VALUES (%s, %s)", (name, digest_of(sql))
            )
    except psycopg.Error as error:
        raise MigrationError(f"migration {name} failed and was rolled back: {error}") from error


def digest_of(sql: str) -> str:
    return sha256(sql.encode()).hexdigest()
