"""Parking of callbacks that cannot be published: each becomes a dead letter with an alert."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import msgspec
import structlog

from application.callback import ALERT, dead_letter_id
from application.command_bus.batching import CommandBatcher
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.command_bus.retry import retry_limited, retry_while_unavailable
from application.commands.dr_event import RecordCallbackUndeliverable
from application.ports.clock import Clock
from application.ports.dispatch.work_queue import CallbackWork
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from domain.dr_event import DREvent

log = structlog.get_logger("relay")


@dataclass(frozen=True)
class CallbackParking:
    """Every step may be repeated: the ids of the dead letters are derived from the callbacks."""

    dead_letters: DeadLetters
    alerts: AlertRegistry
    commands: CommandBatcher
    clock: Clock

    async def park(self, intent: DREvent.CallbackRequested, subject: str, reason: str) -> None:
        """Park a callback and record that the utility did not receive it. `subject`: of letter and alert."""
        work = CallbackWork.of(intent)
        letter_id = dead_letter_id(work)
        await self._park(letter_id, subject, work, reason)
        await self._alert(ALERT, subject, f"{work.kind}: {reason}")
        command = RecordCallbackUndeliverable(
            dr_event_id=work.dr_event_id,
            callback_id=work.callback_id,
            kind=work.kind,
            attempts=0,
            reason=reason,
        )
        context = CommandContext(
            correlation_id=work.correlation_id,
            causation_id=work.causation_id,
            actor="worker:relay",
            tenant=intent.tenant,
            trace_id=work.trace_id,
        )
        key = IdempotencyKey(scope="saga", key=f"undeliverable:{letter_id}")
        try:
            await retry_limited(partial(self.commands.handle, command, context, key=key))
        except Exception:
            # Its dead letter and the alert are there; only the utility's list still says "requested".
            log.exception("the outcome of a parked callback was not recorded", callback=str(work.callback_id))

    async def _park(self, letter_id: UUID, subject: str, work: CallbackWork, reason: str) -> None:
        log.error("parked: it cannot be published", subject=subject, why=reason)
        letter = DeadLetter(
            dead_letter_id=letter_id,
            queue="callback",
            subject=subject,
            reason=reason,
            body=msgspec.json.encode(work),
            parked_at=self.clock.now(),
        )
        await _stored(partial(self.dead_letters.park, letter))

    async def _alert(self, name: str, subject: str, detail: str) -> None:
        await _stored(partial(self.alerts.raise_alert, name, subject, detail, at=self.clock.now()))


async def _stored(write: Callable[[], None]) -> None:
    await retry_while_unavailable(partial(asyncio.to_thread, write))
