"""Real servers for the tests: one PostgreSQL, NATS and Valkey a session, one fresh database a test.

    with postgres_server() as server, fresh_database(server) as database:
        psycopg.connect(database.app_dsn)

The fixtures of the same purpose are in tests/conftest.py: `postgres_server`, `database`, `nats_server`,
`valkey_server`.
"""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from adapters.embedded import EmbeddedServers
from adapters.embedded.postgres import APP, OWNER, SUPERUSER, EmbeddedPostgres, create_database
from adapters.postgres.schema.migrate import migrate
from tests.database_reset import Template, rename, reset_to_template, template_of
from tests.frozen_process import freeze
from tests.patience import ANSWER_S

_TEMPLATE = "migrated_template"
_SETTINGS = {"autovacuum": "off", "fsync": "off"}
"""Plans do not depend on when a vacuum came, and a killed server loses nothing: the kernel has what it wrote."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """A separate database for one test, with every migration applied."""

    name: str
    app_dsn: str
    """The application's connection: the role `gridproof_app`."""
    owner_dsn: str
    """The migrations' connection: the role `gridproof_owner`."""
    admin_dsn: str
    """The superuser's connection, to cause faults."""


@dataclass
class PostgresServer:
    """A PostgreSQL of this test session."""

    embedded: EmbeddedPostgres
    _template: Template | None = None
    _spare: list[str] = field(default_factory=list)

    @property
    def admin_dsn(self) -> str:
        """The superuser on the database `postgres`."""
        return self.embedded.url(SUPERUSER, "postgres", search_path=False)

    def kill(self) -> None:
        """kill -9, and wait until no backend answers; `start` starts it again on the same port."""
        backends = _children(self.embedded.pid)
        self.embedded.kill()
        # A backend that is not waiting answers one more query before it notices that its server is gone.
        deadline = time.monotonic() + ANSWER_S
        while any(_runs(pid) for pid in backends):
            assert time.monotonic() < deadline, "backends outlive their server"
            time.sleep(0.01)

    def start(self) -> None:
        self.embedded.start()

    def dsns(self, name: str) -> Database:
        url = self.embedded.url
        return Database(name, url(APP, name), url(OWNER, name), url(SUPERUSER, name))

    def create_template(self) -> None:
        """Apply the migrations once; a copy of the result takes a fraction of the time."""
        if self._template is not None:
            return
        with self.embedded.connect() as connection:
            drop_database(connection, _TEMPLATE)  # a migration may have failed in it
            create_database(connection, _TEMPLATE)
        migrate(self.dsns(_TEMPLATE).owner_dsn, app_role=APP)
        with psycopg.connect(self.dsns(_TEMPLATE).admin_dsn) as connection:
            self._template = template_of(connection)

    def take_database(self, name: str) -> None:
        """Provide a migrated database of that name: a reset one of another test, else a copy of the template."""
        self.create_template()
        with self.embedded.connect() as connection:
            if self._spare:
                rename(connection, self._spare.pop(), name)
            else:
                create_database(connection, name, template=_TEMPLATE)

    def give_back_database(self, name: str) -> None:
        """Disconnect all clients and reset the database, or drop it if a test has changed it permanently."""
        assert self._template is not None
        spare = f"spare_{next(_numbers)}"
        with self.embedded.connect() as connection:
            try:
                rename(connection, name, spare)
                with psycopg.connect(self.dsns(spare).admin_dsn) as used:
                    good = reset_to_template(used, self._template)
            except psycopg.Error:  # it is gone or renamed, or a client does not disconnect
                good = False
            if good:
                self._spare.append(spare)
            else:
                drop_database(connection, name)
                drop_database(connection, spare)


@contextmanager
def suspended(server: EmbeddedPostgres) -> Iterator[None]:
    """Stop all of its processes during the block: they close no connection and answer nothing."""
    assert server.pid is not None
    found = [server.pid]  # first, so that it starts no others
    try:
        freeze(server.pid)
        for pid in _children(server.pid):
            with suppress(ProcessLookupError):  # a session that has just ended
                freeze(pid)
                found.append(pid)
        yield
    finally:
        for pid in found:
            with suppress(ProcessLookupError):  # the server, which goes on first, has collected it
                os.kill(pid, signal.SIGCONT)


def _children(parent: int | None) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def drop_database(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _embedded(
    *, postgres: bool = False, nats: bool = False, valkey: bool = False
) -> Iterator[EmbeddedServers]:
    with (
        tempfile.TemporaryDirectory(prefix="gridproof-test-") as folder,
        EmbeddedServers(
            Path(folder), postgres=postgres, nats=nats, valkey=valkey, postgres_settings=_SETTINGS
        ) as servers,
    ):
        yield servers


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL in a temporary folder."""
    with _embedded(postgres=True) as servers:
        yield PostgresServer(servers.postgres)


@contextmanager
def fresh_database(server: PostgresServer, *, migrated: bool = True) -> Iterator[Database]:
    """A new or reset database, without migrations if `migrated` is false. At the end its clients are disconnected."""
    name = f"test_{next(_numbers)}"
    if migrated:
        server.take_database(name)
    else:
        with server.embedded.connect() as connection:
            create_database(connection, name)
    try:
        yield server.dsns(name)
    finally:
        server.embedded.start()  # a test may have killed it
        if migrated:
            server.give_back_database(name)
        else:
            with server.embedded.connect() as connection:
                drop_database(connection, name)


@contextmanager
def nats_server() -> Iterator[EmbeddedServers]:
    """A nats-server: `nats_url`, `mqtt_url`, `meters_mqtt_url`; `.nats.kill()` and `.nats.start()`."""
    with _embedded(nats=True) as servers:
        yield servers


@contextmanager
def valkey_server() -> Iterator[EmbeddedServers]:
    """A Valkey: `redis_url`; `.valkey.kill()` and `.valkey.start()`."""
    with _embedded(valkey=True) as servers:
        yield servers
