"""The reconciler: while a DR event runs, has each curtailed building asked whether it still is as commanded.

It asks nothing itself: it puts a poll on the queue of each facility, behind whatever is commanded there. So only the
dispatch workers call a BMS, within their bounds, and a dead BMS holds up its own polls alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5

import structlog

from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.dispatch.work_queue import BmsWork, WorkPublisher, WorkQueueUnavailable
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop
from projections.queries.views import ReadModelsUnavailable

LOCK = "reconcile"
LEAST_EVERY_S = 0.25
"""Wall seconds between two rounds, however fast the clock runs."""
RETRY_S = 0.5
log = structlog.get_logger("reconcile")


class Curtailed(Protocol):
    """A dispatch whose building is curtailed now."""

    @property
    def dispatch_id(self) -> UUID: ...
    @property
    def dr_event_id(self) -> UUID: ...
    @property
    def facility_id(self) -> str: ...
    @property
    def tenant(self) -> str | None: ...
    @property
    def correlation_id(self) -> UUID: ...
    @property
    def trace_id(self) -> str: ...


@dataclass(frozen=True)
class Reconciler:
    """One active reconciler per system, whoever holds the lock; `every_s` is clock time."""

    curtailed: Callable[[], Iterable[Curtailed]]
    publisher: WorkPublisher
    clock: Clock
    locks: Locks
    every_s: float = 60.0

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, LOCK, lambda: self._rounds(stop), stop=stop)

    async def _rounds(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.round()
                pause_s = max(LEAST_EVERY_S, self.clock.wall_seconds(self.every_s))
            except (ReadModelsUnavailable, WorkQueueUnavailable) as error:
                log.warning("the round is made up for", why=str(error))
                pause_s = RETRY_S
            await sleep_or_stop(stop, pause_s)

    async def round(self) -> int:
        """Ask for a poll of every curtailed building; how many. The same again within a period asks nothing."""
        now = self.clock.now()
        period = int(now.timestamp() // self.every_s)
        curtailed = list(await asyncio.to_thread(self.curtailed))
        for dispatch in curtailed:
            message_id = f"reconcile:{dispatch.dispatch_id}:{period}"
            await self.publisher.publish_bms(self._poll(dispatch, message_id, now), message_id=message_id)
        return len(curtailed)

    def _poll(self, dispatch: Curtailed, message_id: str, now: datetime) -> BmsWork:
        return BmsWork(
            task="reconcile",
            dr_event_id=dispatch.dr_event_id,
            facility_id=dispatch.facility_id,
            command_id=None,
            # The next round asks again: polls do not pile up behind a BMS that is slow or dead.
            stale_after=now + timedelta(seconds=self.every_s),
            correlation_id=dispatch.correlation_id,
            causation_id=uuid5(dispatch.dispatch_id, message_id),
            tenant=dispatch.tenant,
            trace_id=dispatch.trace_id,
        )
