"""RunningSystem: the embedded servers and one supervised process per worker, on this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from application.operations.process_kinds import KINDS
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.bootstrap import (
    ask_web,
    check_history,
    embedded_servers,
    inherited_environ,
    machine_time,
    make_snapshot_key,
    migrate_database,
    open_stores,
    raw_archive,
    save_addresses,
    spawn_child,
    system_identity,
    with_embedded,
    without_server_credentials,
    worker_settings,
)
from interfaces.extras import require_extras_of
from interfaces.log_files import LogFiles, LogRetention, LogRotation
from interfaces.settings.settings import Settings
from interfaces.system.host_worker import HostWorker
from interfaces.system.private_files import make_private_folder
from interfaces.system.supervisor import RestartPolicy, Supervisor

PROCESSES: dict[str, str] = {
    kind.name if kind.count == 1 else f"{kind.name}-{number}": kind.name
    for kind in KINDS
    for number in range(1, kind.count + 1)
}
"""Process -> worker: two dispatch workers, so that the other continues when one dies."""
GRIDPROOF = (sys.executable, "-m", "interfaces.cli", "--env-file", os.devnull)
"""The program of the worker processes. Their environment is complete: no default file adds what they were not given.
A test may start another one, which plants a fault."""
RESTARTED, RESTARTED_FOR_S = "worker_restarted", 900.0
READY_WITHIN_S = 240.0
"""All processes start at once: on a machine that much else uses they took longer than a minute."""
ANSWER_WITHIN_S = 2.0
NEVER_GIVE_UP = RestartPolicy(most_in_a_row=1_000_000)
"""A worker that cannot work yet, because its database is away, must come back by itself."""
log = structlog.get_logger("system")
ADMIN_KEY = "admin.key"
"""In the data folder: an API key of the role admin, readable by its owner only."""


class NotReady(RuntimeError):
    """The system did not start; the text names the log to read."""


class RunningSystem:
    """Servers and workers. They start in two steps, so that a caller can prepare the stores in between."""

    def __init__(self, settings: Settings, *, program: Sequence[str] | None = None) -> None:
        self.settings = settings
        self._program = program or GRIDPROOF
        self._servers = embedded_servers(settings)
        self._supervisor: Supervisor | None = None
        self._identity = ""
        self._log_rotation: LogRotation | None = None
        self._host: HostWorker | None = None

    def start_servers(self) -> Settings:
        """Start the embedded servers and migrate; returns the settings with every address.

        Raises AddressTaken, ExtraMissing or OtherMigrations before anything starts.
        """
        require_extras_of(PROCESSES.values())
        from interfaces.workers.web.server import listening  # with it comes the whole of web

        listening(self.settings.http_host, self.settings.http_port).close()
        # No other process uses an embedded database yet; another database may be used by older releases.
        is_unshared = self.settings.database_url is None
        if not is_unshared:
            check_history(self.settings)  # before a server starts in the folder
        self._servers.start()
        self._log_rotation = LogRotation(self._log_files())
        if self._servers.rights_report:
            log.warning(
                "rights to the data folder",
                folder=str(self.settings.data_dir),
                found=self._servers.rights_report,
                advice="revoke keys and change passwords in it if somebody may have read them",
            )
        make_private_folder(self.settings.secrets_folder)
        self.settings = with_embedded(self.settings, self._servers)
        migrate_database(self.settings, alone=is_unshared)
        if is_unshared:
            make_snapshot_key(self.settings)
        self._servers.watch(self._server_restarted, self._server_failed)
        return self.settings

    def _log_files(self) -> LogFiles:
        settings = self.settings
        retention = LogRetention(
            days=settings.log_days, most_bytes=settings.log_bytes, is_archived=settings.log_archive
        )
        archive = raw_archive(settings) if settings.log_archive else None
        return LogFiles(settings.data_dir / "logs", retention, machine_time, archive)

    @property
    def meters_mqtt_url(self) -> str:
        """The address to which simulated meters publish."""
        return self._servers.meters_mqtt_url

    def start_workers(
        self,
        settings: Settings,
        *,
        without: Collection[str] = (),
        environs: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Start the workers with `settings`; `environs` has additional variables by process name."""
        self.settings = settings
        # Refuses another clock than that of the first start, before any worker begins.
        with closing(open_stores(settings, pool_size=1, is_start=True)) as stores:
            self._identity = system_identity(stores.pool)
        save_addresses(settings)
        self._supervisor = Supervisor(
            spawn_child, settings.data_dir / "logs", policy=NEVER_GIVE_UP, on_restart=self._restarted
        )
        for process, worker in PROCESSES.items():
            if process not in without:
                self.start_process(process, ["worker", worker], (environs or {}).get(process))
        self._host = HostWorker(settings, self._program, runs_broker=self._servers.runs_nats)
        self._host.start()

    def start_process(self, name: str, arguments: list[str], environ: Mapping[str, str] | None = None) -> int:
        """Start `gridproof ARGUMENTS` as a supervised child; returns its pid."""
        if self._supervisor is None:
            raise NotReady("start the workers first")
        worker = arguments[1] if arguments[0] == "worker" else None
        settings = (
            without_server_credentials(self.settings)
            if worker is None
            else worker_settings(self.settings, self._servers, worker)
        )
        # Its own settings only: those of this process hold the address of the database's owner.
        whole = inherited_environ(os.environ, settings, worker)  # noqa: TID251 - passed on to a child process
        whole |= settings.to_environ() | dict(environ or {})
        whole["OMP_NUM_THREADS"] = whole["OPENBLAS_NUM_THREADS"] = "1"
        return self._supervisor.start(name, [*self._program, *arguments], whole)

    def _restarted(self, name: str, returncode: int) -> None:
        self._alert(name, f"ended with {returncode} and was started again; read logs/{name}.log")

    def _server_restarted(self, name: str, returncode: int) -> None:
        self._alert(name, f"the server ended with {returncode} and was started again; read logs/{name}.log")

    def _server_failed(self, error: Exception) -> None:
        log.error("an embedded server cannot be restarted", why=str(error))

    def _alert(self, name: str, detail: str) -> None:
        """Called from a monitoring thread, which must survive an unavailable database."""
        log.warning("restarted", process=name, detail=detail)
        try:
            with closing(open_stores(self.settings, pool_size=1)) as stores:
                state = partial(stores.alerts().state, RESTARTED, observer=f"supervisor of {name}")
                state({name: detail}, at=stores.clock.now(), holds_s=RESTARTED_FOR_S)
        except (EventStoreUnavailable, OperationsUnavailable) as error:
            log.warning("the alert could not be stated", alert=RESTARTED, subject=name, why=str(error))

    def restarts(self) -> dict[str, int]:
        """The number of restarts by process name."""
        if self._supervisor is None:
            return {}
        return {name: self._supervisor.restarts(name) for name in self._supervisor.names()}

    @property
    def pids(self) -> dict[str, int]:
        """Process or embedded server -> its pid; those that are down are missing."""
        found = {server.name: server.pid for server in self._servers.running}
        if self._supervisor is not None:
            found |= {name: self._supervisor.pid_of(name) for name in self._supervisor.names()}
        return {name: pid for name, pid in found.items() if pid is not None}

    @property
    def admin_url(self) -> str:
        """The superuser's address of the embedded database: for measurements, not for logs."""
        return self._servers.admin_database_url

    @property
    def url(self) -> str:
        return f"http://{self.settings.http_bind}"

    def wait_until_ready(self) -> None:
        """Wait until `/ready` of a process of this system answers. Raises NotReady, also where another one answers."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            with suppress(OSError):
                answer = ask_web(self.url, within_s=ANSWER_WITHIN_S)
                if answer.is_ready(self._identity):
                    return
                if answer.is_foreign(self._identity):
                    raise NotReady(
                        f"something else answers at {self.url}, not this system: keep your keys from it, end it or "
                        "choose another address with GRIDPROOF_HTTP_BIND"
                    )
            time.sleep(0.05)
        raise NotReady(
            f"{self.url}/ready did not answer in {READY_WITHIN_S:g} s; read {self.settings.data_dir}/logs"
        )

    def stop(self) -> None:
        """Stop the workers, then the servers. Idempotent."""
        if self._host is not None:
            self._host.stop()
            self._host = None
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        self._servers.stop()
        if self._log_rotation is not None:
            self._log_rotation.stop()
            self._log_rotation = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
