"""HeartbeatMonitor: alerts when no process of a worker reports any more, when a dead one holds locks, and when the
database could run out of connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.heartbeats import SILENT_S, ConnectionUse, Heartbeat, Heartbeats, is_running
from interfaces.workers.loops.periodic import PeriodicCheck

SILENT, HELD, SHORT = "worker_silent", "turn_held_by_dead", "connections_short"
CHECK_EVERY_S = 10.0
"""All of these are wall seconds."""
FORGOTTEN_S = 86_400.0
"""A worker that nobody has started again for a day is not expected any more."""
MOST_USED = 0.8
"""Share of the connections that the server allows."""
DATABASE = "postgresql"
OBSERVER = "heartbeat monitor"


@dataclass
class HeartbeatMonitor:
    """One is active per system."""

    heartbeats: Heartbeats
    budget_of: Callable[[str], int]
    """The sessions that one process of a worker opens at most; 0 for a worker that this release does not know."""
    alerts: AlertRegistry
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    _since_s: float | None = None

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "heartbeat monitor",
            self.check,
            every_s=CHECK_EVERY_S,
            lock="heartbeat-watch",
            reset=self._begin,
        )

    def _begin(self) -> None:
        """At first every process may be silent because the whole system was just started."""
        self._since_s = self.monotonic()

    async def check(self) -> None:
        """Raises OperationsUnavailable."""
        await asyncio.to_thread(self.heartbeats.forget, older_than_s=FORGOTTEN_S)
        found = await asyncio.to_thread(self.heartbeats.listed)
        live = [one for one in found if one.age_s < SILENT_S]
        dead = [one for one in found if one.age_s >= SILENT_S]
        if self._since_s is None:
            self._begin()
        if self.monotonic() - (self._since_s or 0.0) >= SILENT_S:
            await self._state(SILENT, silent_workers(found))
        await self._state(HELD, await asyncio.to_thread(self._held_by, dead, live))
        use = await asyncio.to_thread(self.heartbeats.connection_use)
        running = [one for one in live if is_running(one.age_s, has_sessions=False)]
        short = connections_short(use, sum(self.budget_of(one.process.worker) for one in running))
        await self._state(SHORT, {} if short is None else {DATABASE: short})

    def _held_by(self, dead: Sequence[Heartbeat], live: Iterable[Heartbeat]) -> dict[str, str]:
        """Process -> what it holds. The server may have given its process ids to sessions of others."""
        of_live = {backend for one in live for backend in one.backends}
        backends = {backend for one in dead for backend in one.backends} - of_live
        held = self.heartbeats.locks_held(backends) if backends else {}
        found = {}
        for one in dead:
            count = sum(held.get(backend, 0) for backend in one.backends)
            if count:
                worker, host, pid = one.process
                found[f"{worker} on {host}, pid {pid}"] = (
                    f"it has reported nothing for {one.age_s:.0f} s, and its database sessions hold {count} locks"
                )
        return found

    async def _state(self, name: str, stated: Mapping[str, str]) -> None:
        await asyncio.to_thread(self.alerts.state, name, stated, observer=OBSERVER, at=self.clock.now())


def silent_workers(heartbeats: Iterable[Heartbeat]) -> dict[str, str]:
    """Worker -> why it counts as silent: none of its processes reports."""
    last: dict[str, Heartbeat] = {}
    for one in heartbeats:
        known = last.get(one.process.worker)
        if known is None or one.age_s < known.age_s:
            last[one.process.worker] = one
    return {
        worker: f"no process of it has reported for {one.age_s:.0f} s; the last was pid {one.process.pid} on "
        f"{one.process.host}"
        for worker, one in last.items()
        if one.age_s >= SILENT_S
    }


def connections_short(use: ConnectionUse, budget: int) -> str | None:
    """Why the database could run out of connections; None if it cannot."""
    if use.used > MOST_USED * use.most:
        return f"{use.used} of {use.most} connections are in use"
    if budget > use.most:
        return f"the processes that run may open {budget} connections, and the server allows {use.most}"
    return None
