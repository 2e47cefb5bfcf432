"""Migrations: plain SQL files that the owner's role applies in order, each once and in its own transaction.

A contracting migration is applied only if the operator says that no process older than the release that it names is
running, and none is connected.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, Literal

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.session import open_session
from adapters.postgres.coordination.session_locks import NUMBERS, lock_session_dsn, wait_for_lock
from adapters.postgres.schema.older_processes import SeenProcess, refusal, seen_processes
from adapters.postgres.schema.worker_roles import grant_to_worker_roles
from application.operations.migration_history import WHAT_TO_DO, history_difference
from application.operations.release import release_of

LOCK_KEY = 7_214_001
MIGRATE = "gridproof migrate"
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
Kind = Literal["expand", "contract"]
_LABEL = re.compile(r"-- (expand|contract: needs release (\d+\.\d+(?:\.\d+)?))\s*$")


class MigrationError(Exception):
    """The schema could not be brought to this release; the message says what to do."""


class ContractingMigrationDue(MigrationError):
    """This release needs a migration that comes after a contracting one, which may not be applied yet."""


class OtherMigrations(MigrationError):
    """Another version of Gridproof made the database. Nothing in it was changed."""


class OlderProcessesRunning(MigrationError):
    """A contracting migration would take away what a connected process uses."""


class MigrationResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one run."""

    applied: list[str]
    held_back: dict[str, str]
    """Contracting migration -> the release that every process must have before it is applied."""


def migration_files() -> list[tuple[str, str]]:
    """(name, SQL) of every migration, in order."""
    folder = files("adapters.postgres") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]


def shipped_digests() -> dict[str, str]:
    """Name -> SHA-256 of the migrations of this version, in order."""
    return {name: digest_of(sql) for name, sql in migration_files()}


def check_history(applied: Mapping[str, str]) -> None:
    """Raises OtherMigrations where the applied migrations (name -> SHA-256) are neither a beginning of ours nor go on
    after ours."""
    difference = history_difference(applied, shipped_digests())
    if difference is not None:
        raise OtherMigrations(
            f"another version made this database: {difference}. {WHAT_TO_DO} an empty database"
        )


def check_applied(pool: ConnectionPool[Any]) -> None:
    """As `check_history`, of the database of a pool of any of our roles. One without a schema passes."""
    with pool.connection() as connection:
        check_history(_applied_in(connection))


def applied_digests(owner_dsn: str) -> dict[str, str]:
    """Name -> SHA-256 of the applied migrations. Changes nothing, not even in an empty database. Raises
    MigrationError."""
    try:
        with open_session(owner_dsn, MIGRATE, connect_within_s=10) as connection:
            return _applied_in(connection)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error


def _applied_in(connection: psycopg.Connection[Any]) -> dict[str, str]:
    if connection.execute("SELECT to_regclass('gridproof.migrations')").fetchone() == (None,):
        return {}
    rows = connection.execute("SELECT name, sha256 FROM gridproof.migrations").fetchall()
    return {str(name): str(digest) for name, digest in rows}


def connected_processes(owner_dsn: str, *, app_role: str = APP_ROLE) -> list[SeenProcess]:
    """The processes that are connected to the database now, with their releases. Raises MigrationError."""
    try:
        with open_session(owner_dsn, MIGRATE, connect_within_s=10) as connection:
            return seen_processes(connection, app_role)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error


def migrate(
    owner_dsn: str, *, app_role: str = APP_ROLE, oldest_release: str | None = None, alone: bool = False
) -> MigrationResult:
    """Apply the pending migrations. Concurrent callers wait for each other. Raises MigrationError.

    `app_role` is the role that the application connects as; it gets the grants of the files, and the roles of the
    workers, where they exist, get their parts of them. `oldest_release`
    is the oldest release that any process runs; `alone` says that no process runs. In an empty database none
    can be running. Without either, a contracting migration is held back, and a migration after it raises
    ContractingMigrationDue. One that is not held back raises OlderProcessesRunning while an older process is connected,
    and nothing is applied. A database that other migrations made raises OtherMigrations, and is not changed.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", app_role):
        raise MigrationError(f"{app_role!r} is no plain role name; create one like {APP_ROLE}")
    with _connected(owner_dsn) as connection:
        applied = _applied_in(connection)
        check_history(applied)
        due = [(name, sql) for name, sql in migration_files() if name not in applied]
        held_back = {} if alone or not applied else _held_back(due, oldest_release)
        due = _before(due, held_back)
        connection.execute(_BOOKKEEPING)
        if applied and not alone:
            _check_older_processes(connection, due, app_role)
        for name, sql in due:
            if applied and not alone:  # those before it may have taken long
                _check_older_processes(connection, [(name, sql)], app_role)
            _apply(connection, name, sql, app_role)
        with connection.transaction():
            grant_to_worker_roles(connection, app_role)
        return MigrationResult(applied=[name for name, _ in due], held_back=held_back)


def _held_back(due: Iterable[tuple[str, str]], oldest_release: str | None) -> dict[str, str]:
    """The contracting migrations in `due` that a running release may still need."""
    oldest = (0,) if oldest_release is None else release_of(oldest_release)
    labels = {name: label_of(sql) for name, sql in due}
    return {
        name: label.needs_release
        for name, label in labels.items()
        if label is not None and label.needs_release is not None and oldest < release_of(label.needs_release)
    }


def _before(due: Sequence[tuple[str, str]], held_back: dict[str, str]) -> list[tuple[str, str]]:
    """The migrations that may be applied now: all up to the first one that is held back. No expanding one may
    come after it."""
    names = [name for name, _ in due]
    allowed = next((number for number, name in enumerate(names) if name in held_back), len(names))
    beyond = [name for name in names[allowed:] if name not in held_back]
    if beyond:
        first = names[allowed]
        raise ContractingMigrationDue(
            f"{beyond[0]} comes after {first}, which takes away what releases before {held_back[first]} use; nothing "
            f"was applied. Once every process is of release {held_back[first]} or newer, say so: "
            f"`gridproof migrate --contract {held_back[first]}`"
        )
    return list(due[:allowed])


def _check_older_processes(
    connection: psycopg.Connection[tuple[object, ...]], due: Iterable[tuple[str, str]], app_role: str
) -> None:
    """Whoever says which releases run may be wrong."""
    for name, sql in due:
        label = label_of(sql)
        if label is not None and label.needs_release is not None:
            needs = label.needs_release
            older = [one for one in seen_processes(connection, app_role) if one.is_older_than(needs)]
            if older:
                raise OlderProcessesRunning(refusal(name, needs, older))


def _connected(owner_dsn: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        connection = open_session(lock_session_dsn(owner_dsn), MIGRATE, connect_within_s=10)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error
    # The lock is released with the connection. It is taken before the first statement, since even CREATE ...
    # IF NOT EXISTS fails in a race.
    wait_for_lock(connection, NUMBERS, LOCK_KEY)
    return connection


def _unreachable(error: psycopg.OperationalError) -> MigrationError:
    return MigrationError(
        f"the database cannot be reached to migrate it: {error}; check GRIDPROOF_MIGRATION_DATABASE_URL"
    )


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


class Label(msgspec.Struct, frozen=True):
    kind: Kind
    needs_release: str | None = None
    """Every process must have this release or a newer one before the migration is applied."""


def label_of(sql: str) -> Label | None:
    """The label in the first line; None without one."""
    match = _LABEL.match(sql.partition("\n")[0])
    if match is None:
        return None
    return Label("expand") if match[1] == "expand" else Label("contract", match[2])
