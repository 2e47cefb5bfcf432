"""Schedule: proposes the command of each due deadline. The aggregate decides; a proposal may be lost or doubled.

Planning that was refused is tried again beside the others, one DR event of each utility at a time: a plan over
thousands of facilities takes long, and no utility's plans may delay a start or the plans of another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any
from uuid import UUID

import msgspec
import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.command_bus.retry import TRANSIENT
from application.command_bus.spans import logged
from application.commands.dispatch import RestoreDispatch, RetryRestore
from application.commands.dr_event import EndDREvent, PlanDREvent, StartDREvent, StartPreparation
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.failpoints import Failpoint
from application.ports.operations.alerts import AlertRegistry
from domain.errors import DomainError
from interfaces.workers.loops.failing_deadlines import FailingDeadlines
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.deadlines import DeadlineKind, DeadlineRow

TICK_S = 1.0
"""Clock seconds between two queries for due deadlines; at least LEAST_TICK_S on the wall."""
LEAST_TICK_S = 0.1
RETRY_S = 0.25
"""Wall seconds added to the tick while the stores are away."""
KINDS: frozenset[DeadlineKind] = frozenset({"prepare", "start", "end", "restore_retry", "restore"})
"""Without `measure`, which is the compute worker's."""
PLANS: frozenset[DeadlineKind] = frozenset({"plan_retry"})
MOST_PLANS = 5_000
"""How many of PLANS are read, of which each utility gets one at a time."""
PLAN_TICK_S = 5.0
"""Clock seconds between two rounds of planning again."""
PLAN_AGAIN_S = 60.0
"""Clock seconds between two tries to plan the same DR event."""
LOCK = "deadlines"
log = structlog.get_logger("decide")


@dataclass(frozen=True)
class Schedule:
    """One is active per system. Deadlines are derived from the log, so a restart loses none."""

    due: Callable[[datetime], list[DeadlineRow]]
    """The deadlines of KINDS whose time is up at a moment."""
    plans_due: Callable[[datetime], list[DeadlineRow]]
    """Those of PLANS. They are read apart: however many wait, they take no place of what is urgent."""
    bus: CommandBus
    clock: Clock
    locks: Locks
    reached: Failpoint
    alerts: AlertRegistry
    _planned_at: dict[UUID, datetime] = field(default_factory=dict)
    """DR event -> when planning was last tried here."""

    @cached_property
    def _failing(self) -> FailingDeadlines:
        return FailingDeadlines(self.alerts, self.clock, KINDS)

    @cached_property
    def _failing_plans(self) -> FailingDeadlines:
        return FailingDeadlines(self.alerts, self.clock, PLANS)

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, LOCK, partial(self._work, stop), stop=stop)

    async def _work(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, work, clock_s, failing in (
                ("deadlines", self._propose_due, TICK_S, self._failing),
                ("planning again", self._plan_again, PLAN_TICK_S, self._failing_plans),
            ):
                tick_s = max(LEAST_TICK_S, self.clock.wall_seconds(clock_s))
                rounds = PeriodicCheck(
                    name, work, every_s=tick_s, retry_s=RETRY_S + tick_s, reset=failing.reset
                )
                tasks.create_task(rounds.run(stop), name=name)

    async def _propose_due(self) -> None:
        for deadline in await asyncio.to_thread(self._due_to_try):
            await self._propose(deadline, self._failing)

    def _due_to_try(self) -> list[DeadlineRow]:
        return self._failing.to_try([row for row in self.due(self.clock.now()) if row.kind in KINDS])

    async def _plan_again(self) -> None:
        """Plan one DR event of each utility: the one that has waited longest among those not tried lately."""
        now = self.clock.now()
        waiting, to_try = await asyncio.to_thread(self._plans_to_try, now)
        for dr_event_id in [known for known in self._planned_at if known not in waiting]:
            del self._planned_at[dr_event_id]
        for deadline in next_plans(to_try, self._planned_at, now):
            self._planned_at[deadline.dr_event_id] = now
            await self._propose(deadline, self._failing_plans)

    def _plans_to_try(self, now: datetime) -> tuple[set[UUID], list[DeadlineRow]]:
        """The DR events that wait for a plan, and the deadlines to try now."""
        due = [row for row in self.plans_due(now) if row.kind in PLANS]
        return {row.dr_event_id for row in due}, self._failing_plans.to_try(due)

    async def _propose(self, deadline: DeadlineRow, failing: FailingDeadlines) -> None:
        command = proposal(deadline)
        if command is None:
            return
        context = CommandContext(
            correlation_id=deadline.correlation_id,
            causation_id=deadline.caused_by,
            actor="worker:decide",
            tenant=deadline.tenant,
            trace_id=deadline.trace_id,
        )
        with logged(deadline.trace_id, dr_event=deadline.dr_event_id, facility=deadline.facility_id):
            await self._give(command, context, deadline, failing)

    async def _give(
        self,
        command: msgspec.Struct,
        context: CommandContext,
        deadline: DeadlineRow,
        failing: FailingDeadlines,
    ) -> None:
        in_flight = f"{type(command).__name__} of {deadline.dr_event_id}"
        self.reached("decide.before_proposal", in_flight)
        try:
            await asyncio.to_thread(self.bus.handle, command, context)
        except DomainError as refusal:
            log.info("proposal refused", command=type(command).__name__, why=str(refusal))
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the deadlines behind it
            await asyncio.to_thread(failing.failed, deadline, error)
            return
        await asyncio.to_thread(failing.succeeded, deadline)
        self.reached("decide.after_proposal", in_flight)


def next_plans(
    due: Iterable[DeadlineRow], planned_at: Mapping[UUID, datetime], now: datetime
) -> list[DeadlineRow]:
    """Of each utility the deadline whose DR event was tried longest ago, if that is PLAN_AGAIN_S or more."""
    never = datetime.min.replace(tzinfo=UTC)
    chosen: dict[str | None, DeadlineRow] = {}
    for deadline in due:
        tried_at = planned_at.get(deadline.dr_event_id, never)
        if (now - tried_at).total_seconds() < PLAN_AGAIN_S:
            continue
        other = chosen.get(deadline.tenant)
        if other is None or tried_at < planned_at.get(other.dr_event_id, never):
            chosen[deadline.tenant] = deadline
    return list(chosen.values())


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
        case "measure" | "recovery":
            return None


def _release(deadline: DeadlineRow) -> msgspec.Struct | None:
    """The command for one dispatch: retry a restore that failed, or restore a zone whose time is up."""
    if deadline.facility_id is None:
        return None
    subject: dict[str, Any] = {"dr_event_id": deadline.dr_event_id, "facility_id": deadline.facility_id}
    if deadline.kind == "restore":
        return RestoreDispatch(**subject)
    return RetryRestore(**subject, reason="its restore failed before")
