"""What every process reports of itself: that it runs and what it can reach, its disk, and certificates that end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from socket import gethostname

from prometheus_client import Gauge

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.certificates import Certificates
from application.ports.operations.heartbeats import Heartbeats, Process
from interfaces.readiness import ReadinessProbe, readiness_of, states_of
from interfaces.workers.loops.observer import this_process
from interfaces.workers.loops.periodic import PeriodicCheck

HEARTBEAT_EVERY_S, DISK_EVERY_S, CERTIFICATES_EVERY_S = 10.0, 15.0, 60.0
"""Wall seconds."""
DISK, EXPIRING = "disk_filling", "certificate_expiring"
NEAR = timedelta(days=14)
ALIVE_AT = Gauge(
    "gridproof_worker_alive_timestamp_seconds",
    "When the event loop of this process last came to report, Unix time",
    ("worker",),
)
READY = Gauge("gridproof_worker_ready", "1 while the process can reach all that it needs", ("worker",))
DEPENDENCY_UP = Gauge("gridproof_dependency_up", "1 while the process can reach it", ("worker", "dependency"))
DISK_USED = Gauge("gridproof_disk_used_ratio", "Used share of the disk below the data folder, from 0 to 1")
"""Set by a check: on a network file system that hangs, asking at a scrape would hold the scrape."""
CERTIFICATE_ENDS_AT = Gauge(
    "gridproof_certificate_ends_timestamp_seconds", "When a certificate ends, Unix time", ("certificate",)
)


@dataclass(frozen=True)
class ProcessHeartbeat:
    """Sets the metrics first: they tell that the process runs while the database is away."""

    process: Process
    probes: Sequence[ReadinessProbe]
    backends: Callable[[], Collection[int]]
    heartbeats: Heartbeats

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck("heartbeat", self.beat, every_s=HEARTBEAT_EVERY_S)

    async def beat(self) -> None:
        """Raises OperationsUnavailable."""
        worker = self.process.worker
        states = await states_of(self.probes)
        ALIVE_AT.labels(worker).set_to_current_time()
        READY.labels(worker).set(readiness_of(states).status != "not_ready")
        for state in states:
            DEPENDENCY_UP.labels(worker, state.name).set(state.up)
        dependencies = {state.name: state.problem for state in states}
        await asyncio.to_thread(
            self.heartbeats.beat, self.process, backends=self.backends(), dependencies=dependencies
        )


@dataclass(frozen=True)
class DiskMonitor:
    """Processes of one machine state the same alert."""

    alerts: AlertRegistry
    clock: Clock
    used: Callable[[], float]
    """The used share of the disk below the data folder, from 0 to 1."""
    full_share: float = 0.8

    @property
    def periodic(self) -> PeriodicCheck:
        check = partial(asyncio.to_thread, self.check)
        return PeriodicCheck("disk monitor", check, every_s=DISK_EVERY_S, also=(OSError,))

    def check(self) -> None:
        """Raises OSError or OperationsUnavailable."""
        share, stated = self.used(), dict[str, str]()
        DISK_USED.set(share)
        if share > self.full_share:
            stated[gethostname()] = f"{share:.0%} of the disk below the data folder is used"
        self.alerts.state(DISK, stated, observer=this_process(), at=self.clock.now())


@dataclass(frozen=True)
class CertificateMonitor:
    """Of the certificates that this process uses; another process may state the same alert."""

    certificates: Certificates
    alerts: AlertRegistry
    clock: Clock
    wall_clock: Clock
    """The machine's: certificates do not follow an accelerated clock."""

    @property
    def periodic(self) -> PeriodicCheck:
        check = partial(asyncio.to_thread, self.check)
        return PeriodicCheck("certificate monitor", check, every_s=CERTIFICATES_EVERY_S)

    def check(self) -> None:
        """Raises OperationsUnavailable."""
        stated = {}
        for name, ends_at in self.certificates.ends():
            CERTIFICATE_ENDS_AT.labels(name).set(ends_at.timestamp())
            left = ends_at - self.wall_clock.now()
            if left < NEAR:
                stated[name] = (
                    f"it ends at {ends_at.isoformat(timespec='minutes')}, in {max(0, left.days)} days"
                )
        self.alerts.state(EXPIRING, stated, observer=this_process(), at=self.clock.now())
