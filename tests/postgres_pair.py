"""Two PostgreSQL servers, the second a synchronous standby of the first, on two ports of loopback.

with postgres_pair() as pair:
    pair.app_dsn  # names both hosts
    pair.fail_over()  # kill -9 of the first, promotion of the second
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from adapters.embedded import child_process, orphans
from adapters.embedded.data_folder import DataFolder, ServerState, write_private
from adapters.embedded.launcher import remove_folder
from adapters.embedded.loopback import HOST
from adapters.embedded.postgres import APP, OWNER, SUPERUSER, EmbeddedPostgres
from adapters.postgres.schema.migrate import migrate

AServer = TypeVar("AServer", bound=EmbeddedPostgres)
PATIENCE_S = 60.0
_SYNCHRONOUS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


class StandbyPostgres(EmbeddedPostgres):
    """A copy of a running primary that follows it; both have the same roles and passwords."""

    def __init__(self, data: DataFolder, primary: EmbeddedPostgres) -> None:
        super().__init__(data)
        self._primary = primary

    def _make_cluster(self) -> None:
        copy = self._folder / "pgdata.partial"
        orphans.end_all(copy, "postgres", signal.SIGKILL)
        remove_folder(copy)
        # --write-recovery-conf: it starts as a standby and has the primary's address.
        command = [*(self._prefix or []), str(self._bindir / "pg_basebackup"), "--pgdata", str(copy)]
        command += ["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-password"]
        command += ["--host", HOST, "--port", str(self._primary.ports["postgres"]), "--username", SUPERUSER]
        environment = self.environment() | {"PGPASSWORD": self.data.password(SUPERUSER)}
        with self.log.open("ab") as output:
            child = child_process.spawn(command, output=output, env=environment, cwd=self._folder)
        assert child_process.wait(child, deadline_s=PATIENCE_S) == 0, self.log_tail()
        copy.rename(self.working_folder())


@dataclass
class PostgresPair:
    primary: EmbeddedPostgres
    standby: StandbyPostgres

    @property
    def app_dsn(self) -> str:
        return self._dsn(APP)

    @property
    def owner_dsn(self) -> str:
        return self._dsn(OWNER)

    def _dsn(self, user: str) -> str:
        """Both hosts, the standby first: a client that does not request a writable server gets the standby.

        The application must request it; the address does not.
        """
        one, other = (f"{HOST}:{server.ports['postgres']}" for server in (self.standby, self.primary))
        return self.primary.url(user).replace(other, f"{one},{other}")

    def fail_over(self) -> None:
        """kill -9 of the primary, then promotion of its standby, as a cluster manager does it."""
        self.primary.kill()
        with self.standby.connect() as connection:
            row = connection.execute("SELECT pg_promote(true, %s)", (int(PATIENCE_S),)).fetchone()
        assert row == (True,), "the standby was not promoted in time"


@contextmanager
def postgres_pair() -> Iterator[PostgresPair]:
    """A migrated pair; every commit waits for the standby."""
    with tempfile.TemporaryDirectory(prefix="gridproof-pair-") as folder:
        first = DataFolder.opened(Path(folder) / "first")
        with closing(first), _running(EmbeddedPostgres(first, settings={"wal_keep_size": "64MB"})) as primary:
            second = folder_of_standby(Path(folder) / "second", first)
            with closing(second), _running(StandbyPostgres(second, primary)) as standby:
                wait_for_standby(primary)
                pair = PostgresPair(primary, standby)
                migrate(pair.primary.url(OWNER), app_role=APP)
                yield pair


@contextmanager
def _running(server: AServer) -> Iterator[AServer]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


def folder_of_standby(path: Path, primary: DataFolder) -> DataFolder:
    passwords = {user: primary.password(user) for user in (SUPERUSER, OWNER, APP)}
    path.mkdir(mode=0o700)
    remembered = ServerState(identity=f"{primary.identity}-standby", passwords=passwords)
    write_private(path / "servers.json", msgspec.json.encode(remembered))
    return DataFolder.opened(path)


def wait_for_standby(primary: EmbeddedPostgres) -> None:
    """From now on a commit is acknowledged only after the standby has written it."""
    with primary.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + PATIENCE_S
        while connection.execute(_SYNCHRONOUS).fetchone() != (1,):
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.02)
