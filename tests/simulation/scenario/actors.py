"""The actors outside the system: utilities, facilities, an operator, and early proposals of deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from application.command_bus.bus import CommandBus, TooManyConflicts
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.commands.dispatch import OverrideForecast, ReissueBmsCommand
from application.ports.clock import ClockSkewed
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.dispatch import Dispatch
from domain.errors import DomainError
from interfaces.workers.decide.deadlines import proposal
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Database
from tests.simulation.event_trace import EventTrace
from tests.simulation.scenario.plan import StormPlan
from tests.simulation.scenario.scenario_requests import UTILITY, ScenarioRequest

RETRY_S = 5.0
"""Clock seconds until a request without a response is sent again."""
OPERATOR_S = 45.0


@dataclass
class OutsideActors:
    plan: StormPlan
    bus: CommandBus
    clock: VirtualClock
    database: Database
    trace: EventTrace
    rng: Random
    open_requests: int = 0
    """Requests without a response so far."""

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        self.open_requests = len(self.plan.requests)
        requests = [self._send_request(request) for request in self.plan.requests]
        early = [
            self._propose(self.rng.uniform(0, self.plan.faults_end_s)) for _ in range(self.plan.proposals)
        ]
        return [*requests, *early, self._operate()]

    async def _send_request(self, request: ScenarioRequest) -> None:
        await self._until(request.at_s)
        actor = f"utility:{request.utility_id}" if request.by == "utility" else f"{request.by}:simulated"
        key = None
        if request.key is not None:
            key = IdempotencyKey(scope=f"{request.utility_id} door", key=request.key, body_hash=request.key)
        await self._send_until_answered(request.command, actor, key, tenant=request.utility_id)
        self.open_requests -= 1

    async def _send_until_answered(
        self,
        command: msgspec.Struct,
        actor: str,
        key: IdempotencyKey | None = None,
        *,
        tenant: str = UTILITY,
    ) -> None:
        """Repeat until there is a response; a refusal is one."""
        while True:
            try:
                reply = await asyncio.to_thread(
                    self.bus.handle, command, self._context(actor, tenant), key=key
                )
            except DomainError as refusal:
                self.trace.note(actor, f"{type(command).__name__} refused: {refusal}")
                return
            except (ClockSkewed, EventStoreUnavailable, TooManyConflicts):
                await asyncio.sleep(self.clock.wall_seconds(RETRY_S))
            else:
                self.trace.note(actor, f"{type(command).__name__}: {getattr(reply, 'status', reply)}")
                return

    async def _propose(self, at_s: float) -> None:
        """Propose a random deadline of the read model: due, not due, or proposed before."""
        await self._until(at_s)
        rows = self.database.read_models.deadlines.due(self.clock.now() + timedelta(days=1))
        commands = [command for row in rows if (command := proposal(row)) is not None]
        if commands:
            await self._send_until_answered(self.rng.choice(commands), "worker:decide")

    async def _operate(self) -> None:
        """The operator: overrides forecasts of blocked facilities, and replays commands that were given up."""
        while True:
            await asyncio.sleep(self.clock.wall_seconds(OPERATOR_S))
            for dispatch in list(self.database.events.newest.values()):
                if isinstance(dispatch, Dispatch) and self.rng.random() < 0.3:
                    for command in _decisions(dispatch):
                        await self._send_until_answered(command, "operator:simulated")

    async def _until(self, at_s: float) -> None:
        passed_s = (self.clock.now() - self.plan.epoch).total_seconds()
        await asyncio.sleep(self.clock.wall_seconds(max(0.0, at_s - passed_s)))

    def _context(self, actor: str, tenant: str) -> CommandContext:
        return CommandContext(
            correlation_id=UUID(int=self.rng.getrandbits(128)),
            causation_id=UUID(int=self.rng.getrandbits(128)),
            actor=actor,
            tenant=tenant,
            trace_id=f"{self.rng.getrandbits(128):032x}",
        )


def _decisions(dispatch: Dispatch) -> list[msgspec.Struct]:
    state = dispatch.state
    of: dict[str, Any] = {"dr_event_id": state.dr_event_id, "facility_id": state.facility_id}
    if state.status == "blocked":
        return [OverrideForecast(**of, reason="checked the building")]
    return [
        ReissueBmsCommand(**of, command_id=record.command.command_id, reason="the network is back")
        for record in state.commands.values()
        if record.state == "gave_up" and record.command.phase in {"restore", "abort"}
    ]
