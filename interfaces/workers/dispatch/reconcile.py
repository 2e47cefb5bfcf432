"""Reconciler: during a DR event it has each curtailed building polled for whether it still does as commanded.

It only puts a poll on the queue of each facility, behind the commands there. So only dispatch workers call a BMS,
within their limits, and a dead BMS delays nothing but its own polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5

from application.dispatch.execution.restored_buildings import NO_DR_EVENT, inspection_work
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.dispatch.work_queue import BmsWork, WorkPublisher
from interfaces.workers.loops.periodic import PeriodicCheck

LOCK = "reconcile"
LEAST_EVERY_S = 0.25
"""Wall seconds between two rounds, however fast the clock runs."""
RETRY_S = 0.5
"""Wall seconds until the next try after a round that could not read or publish."""


class CurtailedDispatch(Protocol):
    """The fields of a dispatch whose building is curtailed now."""

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
    """One is active per system: the process that holds the lock. `every_s` is clock time."""

    curtailed: Callable[[], Iterable[CurtailedDispatch]]
    publisher: WorkPublisher
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
        """Queue a poll of every curtailed building, and of those that nothing on record explains; returns their number.
        A repetition in a period queues nothing."""
        now = self.clock.now()
        period = int(now.timestamp() // self.every_s)
        curtailed = list(await asyncio.to_thread(self.curtailed))
        for dispatch in curtailed:
            message_id = f"reconcile:{dispatch.dispatch_id}:{period}"
            await self.publisher.publish_bms(self._poll(dispatch, message_id, now), message_id=message_id)
        return len(curtailed) + await self._inspect(period, now)

    async def _inspect(self, period: int, now: datetime) -> int:
        facility_ids = list(await asyncio.to_thread(self.unexplained))
        for facility_id in facility_ids:
            message_id = f"inspect:{facility_id}:{period}"
            work = inspection_work(
                facility_id,
                correlation_id=uuid5(NO_DR_EVENT, message_id),
                stale_after=now + timedelta(seconds=self.every_s),
            )
            await self.publisher.publish_bms(work, message_id=message_id)
        return len(facility_ids)

    def _poll(self, dispatch: CurtailedDispatch, message_id: str, now: datetime) -> BmsWork:
        return BmsWork(
            task="reconcile",
            dr_event_id=dispatch.dr_event_id,
            facility_id=dispatch.facility_id,
            command_id=None,
            # The next round queues another: polls do not pile up behind a BMS that is slow or dead.
            stale_after=now + timedelta(seconds=self.every_s),
            correlation_id=dispatch.correlation_id,
            causation_id=uuid5(dispatch.dispatch_id, message_id),
            tenant=dispatch.tenant,
            trace_id=dispatch.trace_id,
        )
