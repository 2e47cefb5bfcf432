"""Reconciler: during a DR event it has each curtailed building checked for whether it still does as commanded.

It only adds a check to the open work of each building, behind the commands there. So only dispatch workers call a BMS,
within their limits, and a dead BMS delays nothing but its own check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from application.dispatch.execution.curtailed import CurtailedDispatch
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.dispatch.open_work import OpenWorkRows
from interfaces.workers.loops.periodic import PeriodicCheck

LOCK = "reconcile"
LEAST_EVERY_S = 0.25
"""Wall seconds between two rounds, however fast the clock runs."""
RETRY_S = 0.5
"""Wall seconds until the next try after a round that could not read or write."""


@dataclass(frozen=True)
class Reconciler:
    """One is active per system: the process that holds the lock. `every_s` is clock time."""

    curtailed: Callable[[], Iterable[CurtailedDispatch]]
    rows: OpenWorkRows
    clock: Clock
    locks: Locks
    every_s: float = 60.0
    unexplained: Callable[[], Iterable[str]] = tuple
    """The facilities whose buildings did what the log knows nothing of, when they were asked last."""

    async def run(self, stop: asyncio.Event) -> None:
        await PeriodicCheck(
            "reconcile",
            self._round,
            every_s=max(LEAST_EVERY_S, self.clock.wall_seconds(self.every_s)),
            retry_s=RETRY_S,
            lock=LOCK,
        ).run(stop, self.locks)

    async def _round(self) -> None:
        await self.round()

    async def round(self) -> int:
        """Add a check of every curtailed building, and of those that nothing on record explains. Returns how many were
        added: a building whose last check is not done gets no second one."""
        return await asyncio.to_thread(self._add_checks)

    def _add_checks(self) -> int:
        facility_ids = {dispatch.facility_id for dispatch in self.curtailed()}
        return self.rows.add_checks(facility_ids.union(self.unexplained()))
