"""The consequence of a building that was restored by hand: its dead letters need no decision any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from application.command_bus.retry import retry_limited
from application.command_bus.spans import logged, subject_of
from application.operations.dead_letter_decisions import discard_of_dispatch
from application.ports.operations.dead_letters import DeadLetters
from domain.dispatch import Dispatch

log = structlog.get_logger("decide")


@dataclass(frozen=True)
class RegisterUpdates:
    """The updates of the register of dead letters. A repetition has no effect."""

    dead_letters: DeadLetters

    async def follow(self, restored: Dispatch.RestoredByHand) -> None:
        """Discard the dead letters of the dispatch. One that cannot be discarded stays open for a person."""
        discard = partial(
            discard_of_dispatch,
            restored.dr_event_id,
            restored.facility_id,
            self.dead_letters,
            by=restored.actor,
            reason=f"restored by hand: {restored.reason}",
            at=restored.recorded_at,
        )
        with logged(restored.trace_id, **subject_of(restored)):
            try:
                await retry_limited(partial(asyncio.to_thread, discard))
            except Exception:
                log.exception("dead letters were not discarded", stream=str(restored.originator_id))
