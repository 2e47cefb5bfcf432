"""Schedule: proposes the command of each due deadline. The aggregate decides; a proposal may be lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.dispatch import RestoreDispatch, RetryRestore
from application.commands.dr_event import EndDREvent, PlanDREvent, StartDREvent, StartPreparation
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.failpoints import Failpoint
from domain.errors import DomainError
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.loops.periodic import run_periodically
from projections.deadlines import DeadlineRow

TICK_S = 1.0
"""Clock seconds between two queries for due deadlines; at least LEAST_TICK_S on the wall."""
LEAST_TICK_S = 0.05
RETRY_S = 0.25
"""Wall seconds added to the tick while the stores are away."""
log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class Schedule:
    """One is active per system. Deadlines are derived from the log, so a restart loses none."""

    due: Callable[[datetime], list[DeadlineRow]]
    bus: CommandBus
    clock: Clock
    locks: Locks
    reached: Failpoint

    async def run(self, stop: asyncio.Event) -> None:
        tick_s = max(LEAST_TICK_S, self.clock.wall_seconds(TICK_S))
        ticks = partial(
            run_periodically,
            self._propose_due,
            name="schedule",
            every_s=tick_s,
            retry_s=RETRY_S + tick_s,
            stop=stop,
        )
        await run_as_leader(self.locks, "schedule", ticks, stop=stop)

    async def _propose_due(self) -> None:
        for deadline in await asyncio.to_thread(self.due, self.clock.now()):
            await self._propose(deadline)

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
    """The command that a due deadline proposes; None for those of other workers and for open work."""
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
            return _release(deadline)
        case "measure" | "bms_command" | "recovery":
            return None


def _release(deadline: DeadlineRow) -> msgspec.Struct | None:
    """The command for one dispatch: retry a restore that failed, or restore a zone whose time is up."""
    if deadline.facility_id is None:
        return None
    subject: dict[str, Any] = {"dr_event_id": deadline.dr_event_id, "facility_id": deadline.facility_id}
    if deadline.kind == "restore":
        return RestoreDispatch(**subject)
    return RetryRestore(**subject, reason="its restore failed before")
