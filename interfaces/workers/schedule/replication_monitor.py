"""ReplicationMonitor: raises alerts about standbys, replicas, and servers that were replaced and still take writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from application.command_bus.retry import TRANSIENT
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry, every_open_alert
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
_log = structlog.get_logger("schedule")


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
    _before: Mapping[str, Problems] = field(default_factory=dict, init=False)

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "replication monitor", self.check, every_s=CHECK_EVERY_S, lock="replication-watch"
        )

    async def check(self) -> None:
        """Raise what holds for the second check in a row: a standby that restarts is back by then. Clear the others."""
        found: dict[str, Problems] = await asyncio.to_thread(self._of_database)
        found[NOT_CURRENT], is_whole = await self._of_replicas()
        unknown = frozenset[str]() if is_whole else frozenset({NOT_CURRENT})
        await asyncio.to_thread(self._report, found, unknown)
        self._before = found

    async def _of_replicas(self) -> tuple[Problems, bool]:
        """The problems, and whether all replicas could be looked at."""
        found: dict[str, str] = {}
        is_whole = True
        for problems in self.replicas:
            try:
                found |= await problems()
            except TRANSIENT as error:
                _log.warning("replicas not looked at", why=str(error))
                is_whole = False
        return found, is_whole

    def _of_database(self) -> dict[str, Problems]:
        standbys = self.server.standbys()
        self._most_seen = max(self._most_seen, standbys.attached)
        wanted = self._most_seen if self.standbys is None else self.standbys
        replaced = {
            place.address: f"it takes writes on timeline {place.timeline}, and another host of the address is newer"
            for place in self.server.replaced()
        }
        return {OLDER_TIMELINE: replaced, **standby_problems(standbys, wanted)}

    def _report(self, found: Mapping[str, Problems], unknown: Collection[str]) -> None:
        """`unknown`: names of which no alert is cleared."""
        at = self.clock.now()
        for name, problems in found.items():
            for subject, detail in problems.items():
                if subject in self._before.get(name, {}):
                    _log.warning("replication", alert=name, subject=subject, detail=detail)
                    self.alerts.raise_alert(name, subject, detail, at=at)
        for alert in every_open_alert(self.alerts):
            is_known = alert.name in found and alert.name not in unknown
            if is_known and alert.subject not in found[alert.name]:
                self.alerts.clear(alert.name, alert.subject, at=at)


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
