"""Wiring of what every process reports: its probes and metrics, heartbeats, its disk, and its certificates."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING

import structlog

from application.operations.process_kinds import KIND_OF, KINDS, WEB
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.bootstrap.connection_budget import show_budget
from interfaces.bootstrap.health.admission import this_process
from interfaces.bootstrap.health.readiness import (
    DISK_FULL_SHARE,
    CachedCheck,
    readiness_probes,
    used_share,
    worker_probes,
)
from interfaces.bootstrap.stores import Stores
from interfaces.settings.settings import Settings
from interfaces.workers.loops.cache_metrics import show_caches

if TYPE_CHECKING:
    from application.ports.operations.certificates import Certificates
    from application.ports.operations.heartbeats import Heartbeats, Process
    from interfaces.readiness import DependencyState
    from interfaces.workers.loops.probe_server import ProbeServer

END_WITHIN_S = 2.0
"""For the farewell of a process that ends; a database that is away must not keep it."""
_WITH_CLIENT_FILES = ("database_url", "database_replica_url", "nats_url", "redis_url")
"""Every worker may read these."""
log = structlog.get_logger(__name__)


@contextmanager
def serving_probes(worker: str, settings: Settings) -> Iterator[ProbeServer]:
    """During the block the process answers `/health`, `/ready` and `/metrics` where the settings say."""
    from interfaces.workers.loops.probe_server import ProbeServer

    binds = {settings.worker_metrics_bind}
    if (also := KIND_OF[worker].metrics_bind) is not None:
        binds.add(getattr(settings, also))
    show_budget(worker, settings)
    show_caches()
    server = ProbeServer()
    try:
        for bind in binds - {None}:
            server.serve(str(bind))
        yield server
    finally:
        server.close()


@contextmanager
def recording_spans(worker: str, settings: Settings) -> Iterator[None]:
    """During the block spans go to the collector of the settings, if there is one."""
    if settings.otlp_url is None:
        yield
        return
    from importlib.metadata import version

    from adapters.tracing import OtlpSpans
    from application.command_bus.spans import TRACING
    from interfaces.bootstrap.clock import machine_time
    from interfaces.bootstrap.tls import collector_tls

    resource = {
        "service.namespace": "gridproof",
        "service.name": f"gridproof-{worker}",
        "service.version": version("gridproof"),
        "service.instance.id": f"{gethostname()}:{os.getpid()}",
    }
    spans = OtlpSpans(
        settings.otlp_url,
        resource=resource,
        ratio=settings.otlp_ratio,
        now=machine_time,
        tls=collector_tls(settings),
    )
    TRACING.recorder = spans
    try:
        yield
    finally:
        TRACING.recorder = None
        spans.close()


@asynccontextmanager
async def reporting(worker: str, stores: Stores, server: ProbeServer | None = None) -> AsyncIterator[None]:
    """During the block the process reports that it runs, and what it can reach."""
    from adapters.clock import SystemClock
    from adapters.postgres.connection.budget import BUDGET
    from interfaces.workers.loops.process_monitor import CertificateMonitor, DiskMonitor, ProcessHeartbeat
    from interfaces.workers.loops.side_task import run_side_task

    settings, alerts = stores.settings, stores.alerts()
    process = this_process(worker)
    heartbeats = heartbeats_of(stores)
    probes = readiness_probes(stores) if worker == WEB else worker_probes(worker, stores)
    checks = [
        ProcessHeartbeat(process, probes, BUDGET.backends, heartbeats).periodic,
        CertificateMonitor(certificates_of(settings, worker), alerts, stores.clock, SystemClock()).periodic,
    ]
    if settings.data_dir.is_dir():
        used = partial(used_share, settings.data_dir)
        checks.append(DiskMonitor(alerts, stores.clock, used, full_share=DISK_FULL_SHARE).periodic)
    if server is not None:
        server.attach(asyncio.get_running_loop(), probes)
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(
            run_side_task(check.run, stop, name=check.name, alerts=alerts, clock=stores.clock),
            name=check.name,
        )
        for check in checks
    ]
    try:
        yield
    finally:
        stop.set()  # a heartbeat under way must not arrive after the farewell
        await asyncio.wait(tasks, timeout=END_WITHIN_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _end(heartbeats, process)


async def _end(heartbeats: Heartbeats, process: Process) -> None:
    try:
        async with asyncio.timeout(END_WITHIN_S):
            await asyncio.to_thread(heartbeats.end, process)
    except (TimeoutError, OperationsUnavailable) as error:
        log.warning("the end of the process was not reported", why=str(error))


def heartbeats_of(stores: Stores) -> Heartbeats:
    from adapters.postgres.operations.heartbeats import PostgresHeartbeats

    return PostgresHeartbeats(stores.pool)


class ReportedDependencies:
    """The dependencies of other processes, as those report them: the web process has no address of their servers."""

    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats = heartbeats
        self._states: tuple[DependencyState, ...] = ()
        self._read_again = CachedCheck(self._read)

    async def __call__(self) -> Sequence[DependencyState]:
        """Raises OperationsUnavailable."""
        await self._read_again()
        return self._states

    async def _read(self) -> None:
        from application.ports.operations.heartbeats import SILENT_S
        from interfaces.readiness import DependencyState

        problems: dict[str, str | None] = {}
        for one in await asyncio.to_thread(self._heartbeats.listed):
            for name, problem in one.dependencies.items() if one.age_s < SILENT_S else ():
                if problem is not None:
                    problems[name] = f"{problem}, as {one.process.worker} reports"
                else:
                    problems.setdefault(name, None)
        self._states = tuple(
            DependencyState(name=name, needed=False, up=problem is None, problem=problem)
            for name, problem in sorted(problems.items())
        )


def certificates_of(settings: Settings, worker: str | None = None) -> Certificates:
    """Those that `worker` uses; None: that any worker uses."""
    from adapters.certificates import FileAndServerCertificates, client_files

    kinds = KINDS if worker is None else (KIND_OF[worker],)
    watched = sorted({name for kind in kinds for name in kind.certificates})
    files = {name: getattr(settings, name) for name in watched if name.endswith("_file")}
    for name in _WITH_CLIENT_FILES:  # each host may have its own
        found = client_files(name, str(getattr(settings, name) or ""))
        files |= {f"{parameter} on {gethostname()}": file for parameter, file in found.items()}
    urls = {name: getattr(settings, name) for name in watched if not name.endswith("_file")}
    return FileAndServerCertificates(
        {name: file for name, file in files.items() if file is not None},
        {name: url for name, url in urls.items() if url is not None},
    )
