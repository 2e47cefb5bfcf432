"""PostgreSQL as a child process, with the database and the roles of Gridproof."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import psycopg
from psycopg import sql

from adapters.embedded import binaries, child_process, orphans, unprivileged
from adapters.embedded.data_folder import DataFolder, write_private
from adapters.embedded.errors import EmbeddedServerError, ForeignServer, ServerNotReady
from adapters.embedded.launcher import EmbeddedServer, remove_folder
from adapters.embedded.loopback import HOST
from adapters.embedded.wal_archive import archive_settings, make_writable

SUPERUSER, OWNER, APP, DATABASE = "postgres", "gridproof_owner", "gridproof_app", "gridproof"
COMMANDS, TELEMETRY, PROJECTIONS = "gridproof_commands", "gridproof_telemetry", "gridproof_projections"
WEB = "gridproof_web"
WORKER_ROLES = (COMMANDS, TELEMETRY, PROJECTIONS, WEB)
"""`migrate` grants to them (adapters.postgres.schema.worker_roles)."""
SEARCH_PATH_OPTION = "options=-csearch_path%3Dgridproof"
_INITDB_DEADLINE_S = 120.0
SCRAM_ITERATIONS = "1"
"""Of our own roles. PostgreSQL's 4,096 slow down whoever guesses a password from its verifier, and cost a client 2.3 ms
of processor time for each connection. Ours are drawn from 192 random bits, which nobody guesses. Roles of older
clusters keep theirs."""
OTHER_SCRAM_ITERATIONS = "4096"
"""Of roles that an operator makes, with passwords that may be guessed."""


class WalArchiving(NamedTuple):
    """Where complete files of PostgreSQL's log are copied to, and after how many seconds at the latest."""

    folder: Path
    at_most_s: int


SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "on",
    "max_connections": "400",
    "shared_buffers": "128MB",
    "jit": "off",
    "scram_iterations": OTHER_SCRAM_ITERATIONS,
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A crash of the launcher must not occupy a connection slot permanently.
    "tcp_keepalives_idle": "60",
}


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL with SCRAM passwords on 127.0.0.1; the first start creates the cluster."""

    name = "postgres"
    port_names = ("postgres",)
    stop_signal = signal.SIGINT  # "fast": ends the connections and writes everything to the disk

    def __init__(
        self,
        data: DataFolder,
        *,
        bindir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        ways_to_drop_root: Sequence[unprivileged.DropRootMethod] = unprivileged.DROP_ROOT_METHODS,
        fixed_ports: Mapping[str, int] | None = None,
        start_deadline_s: float = 60.0,
        wal: WalArchiving | None = None,
    ) -> None:
        super().__init__(data, fixed_ports=fixed_ports, start_deadline_s=start_deadline_s)
        self._bindir = binaries.postgres_bindir(bindir)
        self._wal = wal
        archiving = {} if wal is None else archive_settings(wal.folder, at_most_s=wal.at_most_s)
        self._settings = {**SETTINGS, "cluster_name": data.identity, **archiving, **(settings or {})}
        self._folder = data.folder("postgres")
        self._ways = ways_to_drop_root
        self._prefix: list[str] | None = None

    @classmethod
    def beside(cls, data: DataFolder, *, bindir: Path | None = None) -> Self:
        """The server that another process runs in the folder: to be asked, not to be started."""
        server = cls(data, bindir=bindir)
        server.ports = {"postgres": data.last_port("postgres") or 0}
        return server

    def program(self) -> Path:
        return self._bindir / "postgres"

    def working_folder(self) -> Path:
        return self._folder / "pgdata"

    def url(self, user: str, database: str = DATABASE, *, search_path: bool = True) -> str:
        """A libpq URL with the password in it: not for logs."""
        password, port = self.data.password(user), self.ports["postgres"]
        options = f"&{SEARCH_PATH_OPTION}" if search_path else ""
        return f"postgresql://{user}:{password}@{HOST}:{port}/{database}?sslmode=disable{options}"

    def prepare(self) -> None:
        if self._prefix is None:
            self._prefix = unprivileged.prefix(self._folder, self.program(), self._ways)
        if self._wal is not None:
            make_writable(self._wal.folder, self._folder)
        if self.working_folder().exists():
            self._forget_dead_postmaster()
        else:
            self._make_cluster()

    def _forget_dead_postmaster(self) -> None:
        """Remove the pid file of a killed postmaster whose pid is now a zombie or another process.

        PostgreSQL takes both for a running postmaster. The lock on our folder and the search for orphans before this
        ensure that no other postmaster runs here.
        """
        pid_file = self.working_folder() / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = pid_file.read_text().partition("\n")[0].strip()
        if not pid.isdigit() or not orphans.may_run_in(int(pid), self.working_folder(), "postgres"):
            pid_file.unlink()

    def _make_cluster(self) -> None:
        """initdb into a temporary folder, then rename: a cluster with the final name is complete."""
        partial = self._folder / "pgdata.partial"
        orphans.end_all(partial, "postgres", signal.SIGKILL)
        remove_folder(partial)
        password_file = self._folder / "superuser.password"
        write_private(password_file, self.data.password(SUPERUSER).encode("ascii"))
        self._give_away(password_file)
        try:
            self._run_initdb(partial, password_file)
        finally:
            password_file.unlink()
        partial.rename(self.working_folder())

    def _give_away(self, file: Path) -> None:
        """Runs as the owner of the folder, which is `nobody` where user namespaces are unavailable."""
        owner = self._folder.stat()
        if file.stat().st_uid != owner.st_uid:
            os.chown(file, owner.st_uid, owner.st_gid)

    def _run_initdb(self, target: Path, password_file: Path) -> None:
        command = [*(self._prefix or []), str(self._bindir / "initdb"), "-D", str(target), "-U", SUPERUSER]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        command += ["--set", f"scram_iterations={SCRAM_ITERATIONS}"]
        self._log_since = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            child = child_process.spawn(command, output=output, env=self.environment(), cwd=self._folder)
        returncode = child_process.wait(child, deadline_s=_INITDB_DEADLINE_S)
        if returncode != 0:
            raise self._exit_error(returncode)

    def command(self) -> list[str]:
        settings = {**self._settings, "port": str(self.ports["postgres"])}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*(self._prefix or []), str(self.program()), "-D", str(self.working_folder()), *words]

    def connect(self, database: str = "postgres", *, within_s: int = 30) -> psycopg.Connection:
        """A superuser's connection in autocommit, independent of PG* environment variables."""
        url = self.url(SUPERUSER, database, search_path=False)
        return psycopg.connect(url, autocommit=True, connect_timeout=within_s, sslmode="disable", options="")

    def answers(self) -> bool:
        try:
            with self.connect(within_s=2) as connection:
                row = connection.execute("SHOW cluster_name").fetchone()
        except psycopg.OperationalError as failure:
            if "password authentication failed" in str(failure):
                raise self._foreign("it does not know our password") from failure
            return False
        if row is None or row[0] != self.data.identity:
            raise self._foreign(f"it calls itself {row[0] if row else None!r}, not {self.data.identity!r}")
        return True

    def _foreign(self, why: str) -> EmbeddedServerError:
        return ForeignServer(
            self.name,
            f"another PostgreSQL answers on port {self.ports['postgres']} ({why})",
            advice="End that server, or start again to get another port.",
            log_tail=self.log_tail(),
        )

    def after_start(self) -> None:
        """Create the roles and the database where they are missing."""
        try:
            with self.connect() as connection:
                connection.execute(f"SET scram_iterations = {SCRAM_ITERATIONS}".encode())
                for role in (OWNER, APP, *WORKER_ROLES):
                    self._ensure_role(connection, role)
                if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
                    create_database(connection, DATABASE)
                elif not all(_may_connect(connection, DATABASE, role) for role in WORKER_ROLES):
                    _let_in(connection, DATABASE)  # it is older than the roles of the workers
        except psycopg.Error as failure:
            raise self._failure(ServerNotReady, f"its database could not be made ({failure})") from failure

    def _ensure_role(self, connection: psycopg.Connection, role: str) -> None:
        if _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
            return
        # Hashed here, so that no password is written to the server's log.
        password = self.data.password(role).encode("ascii")
        verifier = connection.pgconn.encrypt_password(password, role.encode("ascii"), b"scram-sha-256")
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier.decode("ascii"))))


def create_database(connection: psycopg.Connection, name: str, *, template: str = "template0") -> None:
    """A database of the owner role into which only the roles of the application and its workers may log in.

    They get no rights on its content; the migrations grant those.
    """
    database, owner = sql.Identifier(name), sql.Identifier(OWNER)
    create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
    connection.execute(create.format(database, owner, sql.Identifier(template)))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    _let_in(connection, name)


def _let_in(connection: psycopg.Connection, name: str) -> None:
    for role in (APP, *WORKER_ROLES):
        statement = sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(role)))


def _may_connect(connection: psycopg.Connection, name: str, role: str) -> bool:
    query = "SELECT has_database_privilege(%s, %s, 'CONNECT') AND has_database_privilege(%s, %s, 'TEMPORARY')"
    return connection.execute(query, (role, name, role, name)).fetchone() == (True,)


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode("ascii"), (name,)).fetchone() is not None
