"""All embedded servers of one data folder, started and stopped together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, TypeVar

from adapters.embedded.backup.errors import RestoreUnfinished
from adapters.embedded.backup.pending_restore import PendingRestore
from adapters.embedded.broker_users import user_of
from adapters.embedded.data_folder import MIN_FREE_BYTES, DataFolder
from adapters.embedded.ingest_session import IngestSession, ingest_session
from adapters.embedded.launcher import EmbeddedServer
from adapters.embedded.meter_logins import METERS
from adapters.embedded.migration_record import check_folder, record_migrations
from adapters.embedded.monitor import OnFailure, OnRestart, ServerMonitor
from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import APP, OWNER, SUPERUSER, WORKER_ROLES, EmbeddedPostgres, WalArchiving
from adapters.embedded.valkey import EmbeddedValkey


class _Start(TypedDict):
    fixed_ports: Mapping[str, int]
    start_deadline_s: float


Chosen = TypeVar("Chosen", bound=EmbeddedServer)


class EmbeddedServers:
    """PostgreSQL, NATS with its MQTT listener, and Valkey as child processes; each can be left out.

    `ports` requests ports by name (postgres, nats, mqtt, valkey); the others are free ones. URLs contain
    passwords and exist only between `start` and `stop`; the restart of one server does not change them.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        postgres: bool = True,
        nats: bool = True,
        valkey: bool = True,
        ports: Mapping[str, int] | None = None,
        postgres_bindir: Path | None = None,
        nats_program: Path | None = None,
        valkey_program: Path | None = None,
        postgres_settings: Mapping[str, str] | None = None,
        wal: WalArchiving | None = None,
        start_deadline_s: float = 60.0,
        min_free_bytes: int = MIN_FREE_BYTES,
        finishes_restore: bool = False,
        migrations: Mapping[str, str] | None = None,
    ) -> None:
        """`finishes_restore`: the caller records a restore, which nobody else may start the servers before.
        `migrations`: those that the caller brings the database to (name -> SHA-256); None: it does not migrate."""
        self.data_dir = data_dir
        self._data: DataFolder | None = None
        self._ingest_session: IngestSession | None = None
        self._running: dict[str, EmbeddedServer] = {}
        self._watch: ServerMonitor | None = None
        self._least_free_bytes = min_free_bytes
        self._finishes_restore = finishes_restore
        self._migrations = migrations if postgres else None
        start = _Start(fixed_ports=ports or {}, start_deadline_s=start_deadline_s)
        build: list[tuple[bool, Callable[[DataFolder], EmbeddedServer]]] = [
            (
                postgres,
                lambda data: EmbeddedPostgres(
                    data, bindir=postgres_bindir, settings=postgres_settings, wal=wal, **start
                ),
            ),
            (nats, lambda data: EmbeddedNats(data, program=nats_program, **start)),
            (valkey, lambda data: EmbeddedValkey(data, program=valkey_program, **start)),
        ]
        self._builders = [builder for wanted, builder in build if wanted]

    def start(self) -> None:
        """Start all servers in parallel. Raises an `EmbeddedServerError`; then nothing is left running. A folder whose
        database was made by other migrations is not touched."""
        if self._data is not None:
            raise RuntimeError("the embedded servers are already started")
        if self._migrations is not None and not self._finishes_restore:
            check_folder(self.data_dir, self._migrations)
        self._data = DataFolder.opened(self.data_dir, min_free_bytes=self._least_free_bytes)
        try:
            if not self._finishes_restore and PendingRestore.read(self._data.path) is not None:
                raise RestoreUnfinished
            if self._migrations is not None:
                record_migrations(self._data.path, self._migrations)
            self._ingest_session = ingest_session(self._data.path)
            servers = [build(self._data) for build in self._builders]
            self._running = {server.name: server for server in servers}
            _in_parallel(servers, lambda server: server.start())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all servers; idempotent. Afterwards another launcher can use the folder."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        try:
            _in_parallel(list(self._running.values()), lambda server: server.stop())
        finally:
            self._running = {}
            if self._data is not None:
                self._data.close()
                self._data = None

    def watch(self, on_restart: OnRestart, on_failure: OnFailure) -> None:
        """From now on restart servers that end unexpectedly, at most 5 times a minute. The callbacks run in a
        thread."""
        if self._watch is None:
            self._watch = ServerMonitor(self.running, on_restart, on_failure)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def rights_report(self) -> str:
        """A report of rights of other users to the data folder that were taken; empty where they had none."""
        return "" if self._data is None else self._data.rights_report

    @property
    def running(self) -> list[EmbeddedServer]:
        return list(self._running.values())

    @property
    def postgres(self) -> EmbeddedPostgres:
        return self._server(EmbeddedPostgres)

    @property
    def nats(self) -> EmbeddedNats:
        return self._server(EmbeddedNats)

    @property
    def valkey(self) -> EmbeddedValkey:
        return self._server(EmbeddedValkey)

    def _server(self, kind: type[Chosen]) -> Chosen:
        for server in self._running.values():
            if isinstance(server, kind):
                return server
        raise RuntimeError(f"the embedded server {kind.name} was not asked for, or is not started")

    @property
    def database_url(self) -> str:
        """For commands of people at the machine: the role `gridproof_app`. Workers have roles of their own."""
        return self.postgres.url(APP)

    @property
    def runs_postgres(self) -> bool:
        return EmbeddedPostgres.name in self._running

    def worker_database_url(self, role: str) -> str:
        """For a kind of worker: a role with a part of the application's rights."""
        if role not in WORKER_ROLES:
            raise ValueError(f"there is no role {role}; there are {', '.join(WORKER_ROLES)}")
        return self.postgres.url(role)

    @property
    def migration_database_url(self) -> str:
        """For `gridproof migrate`: the role `gridproof_owner`, which owns the database."""
        return self.postgres.url(OWNER)

    @property
    def admin_database_url(self) -> str:
        """The superuser, on the database `postgres`; for tests and `gridproof doctor`."""
        return self.postgres.url(SUPERUSER, "postgres", search_path=False)

    @property
    def nats_url(self) -> str:
        """For commands of people at the machine: may do everything. Workers have users of their own."""
        return self.nats.url("nats", "nats")

    @property
    def runs_nats(self) -> bool:
        return EmbeddedNats.name in self._running

    def worker_nats_url(self, worker: str) -> str:
        """For a kind of worker: a user that reaches the streams that it works with."""
        return self.nats.url("nats", "nats", user_of(worker))

    @property
    def ingest_mqtt_url(self) -> str:
        """For the ingest worker: may subscribe to the readings of every meter."""
        return self.nats.url("mqtt", "mqtt", user_of("ingest"))

    @property
    def mqtt_url(self) -> str:
        """For gateways and commands of people at the machine: may do everything."""
        return self.nats.url("mqtt", "mqtt")

    @property
    def ingest_client_id(self) -> str:
        """The drawn client id of ingest: a secret, since any login of the broker may take a client id over."""
        if self._ingest_session is None:
            raise RuntimeError("the embedded servers are not started")
        return self._ingest_session.client_id

    @property
    def meters_mqtt_url(self) -> str:
        """For simulators: readings of every facility and nothing else. A real meter uses its facility's login."""
        return self.nats.url("mqtt", "mqtt", METERS)

    @property
    def runs_valkey(self) -> bool:
        return EmbeddedValkey.name in self._running

    def worker_redis_url(self, worker: str) -> str:
        """For a kind of worker: a user that may use the keys that it works with."""
        return self.valkey.worker_url(worker)

    @property
    def redis_url(self) -> str:
        return self.valkey.url


def _in_parallel(servers: list[EmbeddedServer], do: Callable[[EmbeddedServer], None]) -> None:
    """Run `do` for all, wait for all, then raise the first failure (the others as notes)."""
    if not servers:
        return
    with ThreadPoolExecutor(len(servers), thread_name_prefix="embedded") as pool:
        answers = [pool.submit(do, server) for server in servers]
    failures = [failure for answer in answers if (failure := answer.exception()) is not None]
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"besides: {other}")
        raise failures[0]
