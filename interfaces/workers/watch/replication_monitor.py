"""ReplicationMonitor: states alerts about standbys, replicas, and servers that were replaced and still take writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from application.command_bus.retry import TRANSIENT
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.database_server import DatabaseServer, Standbys
from interfaces.workers.loops.periodic import PeriodicCheck

OLDER_TIMELINE, NO_SYNCHRONOUS = "older_timeline", "no_synchronous_standby"
STANDBY_LOST, NOT_CURRENT = "standby_lost", "replica_not_current"
DATABASE = "database"
CHECK_EVERY_S = 15.0
"""Wall seconds."""
Problems = Mapping[str, str]
"""Subject -> detail."""
Replicas = Callable[[], Awaitable[Problems]]
"""Replicas that are not current. Raises one of TRANSIENT where that is not known."""
_log = structlog.get_logger("watch")


@dataclass
class ReplicationMonitor:
    """One is active per system. A new one learns by itself how many standbys there are, unless the settings say so."""

    server: DatabaseServer
    alerts: AlertRegistry
    clock: Clock
    standbys: int | None = None
    """How many there should be; None: the most that this monitor has seen."""
    replicas: Sequence[Replicas] = ()
    _most_seen: int = field(default=0, init=False)
    _before: dict[tuple[str, str], Problems] = field(default_factory=dict, init=False)
    """(alert, what was looked at) -> the problems at the last check."""

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "replication monitor",
            self.check,
            every_s=CHECK_EVERY_S,
            lock="replication-watch",
            reset=self._before.clear,
        )

    async def check(self) -> None:
        """State what holds for the second check in a row: a standby that restarts is back by then."""
        for name, problems in (await asyncio.to_thread(self._of_database)).items():
            await asyncio.to_thread(self._report, name, DATABASE, problems)
        for number, replicas in enumerate(self.replicas):
            try:
                problems = await replicas()
            except TRANSIENT as error:
                _log.warning("replicas not looked at", why=str(error))
            else:
                await asyncio.to_thread(self._report, NOT_CURRENT, f"replicas {number}", problems)

    def _of_database(self) -> dict[str, Problems]:
        standbys = self.server.standbys()
        self._most_seen = max(self._most_seen, standbys.attached)
        wanted = self._most_seen if self.standbys is None else self.standbys
        replaced = {
            place.address: f"it takes writes on timeline {place.timeline}, and another host of the address is newer"
            for place in self.server.replaced()
        }
        return {OLDER_TIMELINE: replaced, **standby_problems(standbys, wanted)}

    def _report(self, name: str, looked_at: str, problems: Problems) -> None:
        """`looked_at`: the part of the system whose `problems` these all are."""
        observer = f"replication monitor of {looked_at}"
        before = self._before.get((name, looked_at))
        if before is None:  # another process worked meanwhile
            before = self.alerts.stated(name, observer=observer)
        stated = {subject: detail for subject, detail in problems.items() if subject in before}
        for subject, detail in stated.items():
            _log.warning("replication", alert=name, subject=subject, detail=detail)
        self.alerts.state(name, stated, observer=observer, at=self.clock.now())
        self._before[name, looked_at] = problems


def standby_problems(standbys: Standbys, wanted: int) -> dict[str, Problems]:
    """`wanted`: how many standbys there should be; 0: the server is meant to be alone."""
    is_alone = wanted > 0 and not standbys.synchronous
    lost = wanted - standbys.attached
    return {
        NO_SYNCHRONOUS: {
            DATABASE: f"{standbys.attached} standbys are attached, and no commit waits for one of them"
        }
        if is_alone
        else {},
        STANDBY_LOST: {DATABASE: f"{standbys.attached} of {wanted} standbys are attached"}
        if lost > 0
        else {},
    }
