"""DispatchWorker: the only process that calls a BMS. It takes the open work of buildings (ADR 0118)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

import structlog

from application.command_bus.retry import MAX_TRIES
from application.command_bus.spans import traced
from application.command_bus.trace_context import span_id_of
from application.dispatch.execution.executor import DispatchExecutor
from application.dispatch.execution.taken_work import taken_work
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnreadableDomainEvent
from application.event_store.open_work import IntentNotRecorded
from application.ports.coordination.locks import LockLost, Locks
from application.ports.dispatch.open_work import OpenWork, OpenWorkRows, WorkHolder
from application.ports.dispatch.requested_work import BmsWork
from application.ports.event_store.event_log import EventLog, LogEntryUnreadable
from application.ports.event_store.event_store import StreamNotFound
from domain.errors import DomainError, NotAllowedNow
from interfaces.workers.loops.open_work import OpenWorkLoop, Signal
from interfaces.workers.loops.periodic import PUT_OFF

COMMANDS_IN_HAND, CHECKS_IN_HAND = 1_000, 64
"""The most rows that one process holds. Checks have places of their own: they wait for call slots behind commands."""
CHECKS_BESIDE_COMMANDS = 8
"""The places that checks have beside any number of commands. They need the processor too, and commands are urgent."""
TAKEN_AT_ONCE = 32
"""Few, so that several workers share the work of a start."""
PARK_AGAIN_S = 15.0
"""Wall seconds until parking that failed is tried again."""
REPEATED: tuple[type[Exception], ...] = (
    *PUT_OFF,
    LockLost,
    NotAllowedNow,
    UnreadableDomainEvent,
    LogEntryUnreadable,
)
"""After these errors the work is tried again, and may succeed: a server is away, a race was lost, somebody else has
recorded an outcome meanwhile, or a newer release has written to the stream. The BMS is asked for the outcome first."""
FINAL = (StreamNotFound, DomainError, ValueError)
"""The work can never be carried out: it names something that is not on record."""
log = structlog.get_logger("dispatch")


@dataclass(frozen=True)
class DispatchWorker:
    """Any number may run. The work of a building is done in the order of the log, and buildings do not wait for each
    other. The lock of the facility guarantees one piece of work at a time, also while rows change hands."""

    rows: OpenWorkRows
    holder: WorkHolder
    signal: Signal
    event_log: EventLog
    calls: DispatchExecutor
    locks: Locks
    commands_in_hand: int = COMMANDS_IN_HAND
    checks_in_hand: int = CHECKS_IN_HAND

    async def run(self, stop: asyncio.Event) -> None:
        await OpenWorkLoop("dispatch", self.rows, self.holder, self.signal, self._take, self._do).run(stop)

    def _take(self, holder: int, in_hand: Collection[OpenWork]) -> list[OpenWork]:
        checks = sum(row.position is None for row in in_hand)
        commands = len(in_hand) - checks
        places = max(self.checks_in_hand - commands, min(CHECKS_BESIDE_COMMANDS, self.checks_in_hand))
        return self.rows.take_bms(
            holder,
            commands=min(TAKEN_AT_ONCE, self.commands_in_hand - commands),
            checks=max(0, min(TAKEN_AT_ONCE, places - checks)),
        )

    async def _do(self, row: OpenWork) -> float | None:
        """Do the work of a row. Returns None if it is over, else the wall seconds until it is tried again."""
        self.calls.reached("dispatch.after_take", f"{row.queue} {row.number}")
        try:
            pause_s = await self._carry_out(row)
        except REPEATED as error:
            log.warning("put off", facility=row.queue, error=type(error).__name__, why=str(error))
            return TIME_LIMITS.retry_wall_s
        self.calls.reached("dispatch.before_finish", f"{row.queue} {row.number}")
        return pause_s

    async def _carry_out(self, row: OpenWork) -> float | None:
        async with self.locks.held(f"bms:{row.queue}"):
            try:
                work = await asyncio.to_thread(taken_work, self.event_log, row)
            except IntentNotRecorded as error:
                log.exception("parked: it is no BMS work", facility=row.queue, position=row.position)
                await self.calls.park_row(row, str(error))
                return None
            with traced(
                f"bms {work.task}",
                work.trace_id,
                parent_id=span_id_of(work.causation_id),
                kind="consumer",
                dr_event=work.dr_event_id,
                facility=work.facility_id,
                tries=row.tries,
            ):
                return await self._done_or_parked(work, row)

    async def _done_or_parked(self, work: BmsWork, row: OpenWork) -> float | None:
        try:
            await self.calls.do(work)
        except REPEATED:
            raise
        except Exception as error:
            log.exception("work failed", facility=work.facility_id, tries=row.tries)
            if row.tries < MAX_TRIES and not isinstance(error, FINAL):
                # Its BMS is asked first whether it knows the command, so nothing is done twice.
                return TIME_LIMITS.retry_wall_s
            return await self._parked(work, f"{type(error).__name__}: {error}")
        return None

    async def _parked(self, work: BmsWork, reason: str) -> float | None:
        """While its outcome cannot be recorded the work stays open: its dispatch would never go on without one."""
        try:
            await self.calls.park(work, reason)
        except REPEATED:
            raise
        except Exception:
            log.exception("the outcome of parked work was not recorded", facility=work.facility_id)
            return PARK_AGAIN_S
        return None
