"""PositionMonitor: states an alert while a reader's position stands still while the log grows.

It runs in the watch worker: a relay or a projection that ends again and again cannot report it itself. The holder of
the reader's lock says whether a process works (and is stuck) or whether it ends again and again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from application.ports.clock import Clock
from application.ports.coordination.lock_sessions import LockSessions
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.periodic import PeriodicCheck

CHECK_EVERY_S = 2.0
"""Wall seconds."""
STILL_S, LEAST_STILL_WALL_S = 30.0, 15.0
"""Clock seconds that a position may stand still, and the least wall seconds of it."""
OBSERVER = "position monitor"
SAMPLES = 3
"""The last holders that are looked at."""


@dataclass(frozen=True)
class Position:
    position: int
    head: int
    is_stopped: bool = False
    """The reader has reported by itself that it stopped."""


@dataclass(frozen=True)
class ReaderAlerts:
    """The alerts of one reader, by name and subject, and the lock that it holds while it works."""

    lock: str
    stalled: tuple[str, str]
    stopped: tuple[str, str]


RELAY = ReaderAlerts(
    lock="relay",
    stalled=("relay_stalled", "relay"),
    stopped=("relay_stopped", "relay process"),
)


def alerts_of_projection(name: str) -> ReaderAlerts:
    return ReaderAlerts(
        lock=f"projection {name}",
        stalled=("projection_lag", f"{name} position"),
        stopped=("projection_stopped", f"{name} process"),
    )


@dataclass
class Stall:
    """How long a position stands still, and who held the lock meanwhile."""

    position: int
    since: datetime
    since_wall_s: float
    holders: set[str] = field(default_factory=set)
    last: deque[str | None] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def note(self, holder: str | None) -> None:
        self.last.append(holder)
        if holder is not None:
            self.holders.add(holder)

    @property
    def has_no_lasting_process(self) -> bool:
        """A process that works holds the lock all the time; one reconnect of it is no restart."""
        return None in self.last or len(self.holders) >= SAMPLES


@dataclass
class PositionMonitor:
    """One is active per system. `positions` returns the position of each reader, by the lock that it holds."""

    readers: Mapping[str, ReaderAlerts]
    positions: Callable[[], Mapping[str, Position]]
    sessions: LockSessions
    alerts: AlertRegistry
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    _stalls: dict[str, Stall] = field(default_factory=dict)

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "position monitor",
            self.check,
            every_s=CHECK_EVERY_S,
            lock="position-watch",
            reset=self._stalls.clear,
        )

    async def check(self) -> None:
        """Raises OperationsUnavailable, EventStoreUnavailable or ReadModelsUnavailable."""
        positions = await asyncio.to_thread(self.positions)
        still = [name for name, found in positions.items() if self._is_still(name, found)]
        holders = await asyncio.to_thread(self.sessions.holders, still) if still else {}
        stated: dict[str, dict[str, str]] = {}
        for name, found in positions.items():
            reader = self.readers[name]
            for alert_name, _ in (reader.stopped, reader.stalled):
                stated.setdefault(alert_name, {})
            if (stall := self._stalls.get(name)) is not None:
                stall.note(holders.get(name))
                if self._is_long(stall):
                    alert_name, subject = reader.stopped if stall.has_no_lasting_process else reader.stalled
                    stated[alert_name][subject] = _detail(stall, found)
        now = self.clock.now()
        for alert_name, details in stated.items():
            await asyncio.to_thread(self.alerts.state, alert_name, details, observer=OBSERVER, at=now)

    def _is_still(self, name: str, found: Position) -> bool:
        """Whether the position stands still behind the head. A reader that reported its stop has its alert."""
        if found.position >= found.head or found.is_stopped:
            self._stalls.pop(name, None)
            return False
        stall = self._stalls.get(name)
        if stall is None or stall.position != found.position:
            self._stalls.pop(name, None)
            if stall is None:
                self._stalls[name] = Stall(found.position, self.clock.now(), self.monotonic())
        return name in self._stalls

    def _is_long(self, stall: Stall) -> bool:
        still_s = (self.clock.now() - stall.since).total_seconds()
        return still_s >= STILL_S and self.monotonic() - stall.since_wall_s >= LEAST_STILL_WALL_S


def _detail(stall: Stall, found: Position) -> str:
    detail = f"at position {found.position} of {found.head} since {stall.since.isoformat(timespec='seconds')}"
    if stall.has_no_lasting_process:
        detail += f"; {len(stall.holders)} processes worked meanwhile and ended, or none runs"
    return detail
