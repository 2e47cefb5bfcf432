"""Who is outside: a utility that repeats itself and changes its mind, an operator, and deadlines out of turn."""

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
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.dispatch import Dispatch
from domain.errors import DomainError
from interfaces.workers.schedule.schedule import proposal
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Database
from tests.simulation.event_trace import Story
from tests.simulation.scenario.plan import StormPlan
from tests.simulation.scenario.scenario_requests import UTILITY, Wish

AGAIN_S = 5.0
"""After which a utility that got no answer tries again, clock seconds."""
OPERATOR_S = 45.0


@dataclass
class Outside:
    plan: StormPlan
    bus: CommandBus
    clock: VirtualClock
    database: Database
    story: Story
    chance: Random
    open_wishes: int = 0
    """Of the utility: what it still wants to get an answer to."""

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        self.open_wishes = len(self.plan.wishes)
        wishes = [self._wish(wish) for wish in self.plan.wishes]
        early = [
            self._propose(self.chance.uniform(0, self.plan.calm_at_s)) for _ in range(self.plan.proposals)
        ]
        return [*wishes, *early, self._operate()]

    async def _wish(self, wish: Wish) -> None:
        await self._until(wish.at_s)
        actor = f"utility:{wish.utility_id}" if wish.by == "utility" else f"{wish.by}:simulated"
        key = None
        if wish.key is not None:
            key = IdempotencyKey(scope=f"{wish.utility_id} door", key=wish.key, body_hash=wish.key)
        await self._asked(wish.command, actor, key, tenant=wish.utility_id)
        self.open_wishes -= 1

    async def _asked(
        self,
        command: msgspec.Struct,
        actor: str,
        key: IdempotencyKey | None = None,
        *,
        tenant: str = UTILITY,
    ) -> None:
        """Until there is an answer, be it a refusal."""
        while True:
            try:
                reply = await asyncio.to_thread(
                    self.bus.handle, command, self._context(actor, tenant), key=key
                )
            except DomainError as refusal:
                self.story.note(actor, f"{type(command).__name__} refused: {refusal}")
                return
            except (EventStoreUnavailable, TooManyConflicts):
                await asyncio.sleep(self.clock.wall_seconds(AGAIN_S))
            else:
                self.story.note(actor, f"{type(command).__name__}: {getattr(reply, 'status', reply)}")
                return

    async def _propose(self, at_s: float) -> None:
        """Some deadline of the read model, due or not, or one that was proposed before."""
        await self._until(at_s)
        rows = self.database.read_models.deadlines.due(self.clock.now() + timedelta(days=1))
        commands = [command for row in rows if (command := proposal(row)) is not None]
        if commands:
            await self._asked(self.chance.choice(commands), "worker:schedule")

    async def _operate(self) -> None:
        """An operator who lets blocked facilities go on, and replays what was given up."""
        while True:
            await asyncio.sleep(self.clock.wall_seconds(OPERATOR_S))
            for dispatch in list(self.database.events.newest.values()):
                if isinstance(dispatch, Dispatch) and self.chance.random() < 0.3:
                    for command in _decisions(dispatch):
                        await self._asked(command, "operator:simulated")

    async def _until(self, at_s: float) -> None:
        passed_s = (self.clock.now() - self.plan.epoch).total_seconds()
        await asyncio.sleep(self.clock.wall_seconds(max(0.0, at_s - passed_s)))

    def _context(self, actor: str, tenant: str) -> CommandContext:
        return CommandContext(
            correlation_id=UUID(int=self.chance.getrandbits(128)),
            causation_id=UUID(int=self.chance.getrandbits(128)),
            actor=actor,
            tenant=tenant,
            trace_id=f"{self.chance.getrandbits(128):032x}",
        )


def _decisions(dispatch: Dispatch) -> list[msgspec.Struct]:
    state = dispatch.state
    of: dict[str, Any] = {"dr_event_id": state.dr_event_id, "facility_id": state.facility_id}
    if state.status == "blocked":
        return [OverrideForecast(**of, reason="I looked at the building")]
    return [
        ReissueBmsCommand(**of, command_id=record.command.command_id, reason="the network is back")
        for record in state.commands.values()
        if record.state == "gave_up" and record.command.phase in {"restore", "abort"}
    ]
