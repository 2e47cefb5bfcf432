"""The schedule: proposes that time has come. The aggregate decides; a lost or doubled proposal does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog

from application.command_bus.bus import CommandBus, TooManyConflicts
from application.command_bus.decision_context import CommandContext
from application.commands.dispatch import RestoreDispatch, RetryRestore
from application.commands.dr_event import EndDREvent, PlanDREvent, StartDREvent, StartPreparation
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.failpoints import Failpoint
from domain.errors import DomainError
from interfaces.workers.loops.leader_loop import run_as_leader
from projections.deadlines import DeadlineRow
from projections.queries.views import ReadModelsUnavailable

TICK_S = 1.0
"""Clock seconds between two looks; at least LEAST_TICK_S on the wall."""
LEAST_TICK_S = 0.05
RETRY_S = 0.25
log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class Schedule:
    """One active schedule per system; what is due derives from the log, so a restart loses no deadline."""

    due: Callable[[datetime], list[DeadlineRow]]
    bus: CommandBus
    clock: Clock
    locks: Locks
    reached: Failpoint

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "schedule", lambda: self._look_out(stop), stop=stop)

    async def _look_out(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                for deadline in await asyncio.to_thread(self.due, self.clock.now()):
                    await self._propose(deadline)
            except (EventStoreUnavailable, ReadModelsUnavailable, TooManyConflicts) as error:
                log.warning("trying again", error=type(error).__name__, why=str(error))
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(max(LEAST_TICK_S, self.clock.wall_seconds(TICK_S)))

    async def _propose(self, deadline: DeadlineRow) -> None:
        command = proposal(deadline)
        if command is None:
            return
        context = CommandContext(
            correlation_id=deadline.correlation_id,
            causation_id=deadline.caused_by,
            actor="worker:schedule",
            tenant=deadline.tenant,
            trace_id=deadline.trace_id,
        )
        in_flight = f"{type(command).__name__} of {deadline.dr_event_id}"
        self.reached("schedule.before_command", in_flight)
        try:
            await asyncio.to_thread(self.bus.handle, command, context)
        except DomainError as refusal:
            log.info("proposal refused", command=type(command).__name__, why=str(refusal))
        self.reached("schedule.after_command", in_flight)


def proposal(deadline: DeadlineRow) -> msgspec.Struct | None:
    """The command that a due deadline proposes; None for those of other workers (`measure`)."""
    dr_event_id = deadline.dr_event_id
    match deadline.kind:
        case "prepare":
            return StartPreparation(dr_event_id=dr_event_id)
        case "start":
            return StartDREvent(dr_event_id=dr_event_id)
        case "end":
            return EndDREvent(dr_event_id=dr_event_id)
        case "plan_retry":
            return PlanDREvent(dr_event_id=dr_event_id)
        case "restore_retry" | "restore":
            return _letting_go(deadline)
        case "measure":
            return None


def _letting_go(deadline: DeadlineRow) -> msgspec.Struct | None:
    """Of one dispatch: a restore that failed is tried again, a zone whose time has come is restored."""
    if deadline.facility_id is None:
        return None
    subject: dict[str, Any] = {"dr_event_id": deadline.dr_event_id, "facility_id": deadline.facility_id}
    if deadline.kind == "restore":
        return RestoreDispatch(**subject)
    return RetryRestore(**subject, reason="its restore failed before")
