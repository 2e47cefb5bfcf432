"""Parking of BMS work that cannot be carried out: a dead letter, and an outcome in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid5

import msgspec
import structlog

from application.command_bus.batching import CommandBatcher
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.command_bus.retry import retry_limited, retry_while_unavailable
from application.commands.dispatch import RecordBmsGivenUp
from application.dispatch.execution.reported_failures import has_open_dead_letter
from application.ports.clock import Clock
from application.ports.dispatch.open_work import OpenWork
from application.ports.dispatch.requested_work import BmsWork
from application.ports.event_store.event_store import EventStore, StreamNotFound
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from domain.dispatch import CommandRecord, Dispatch, DispatchState
from domain.errors import DomainError
from domain.identifiers import dispatch_id

DEAD_LETTER_IDS = UUID("0b5d8c1e-93a7-5f06-8a5b-2f7d0f6c1e63")
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class BmsWorkParking:
    """Every step may be repeated: the ids of the dead letters are derived from the commands and the cause of the work.

    A command that stayed without an outcome could not be replayed, and its dispatch would never go on. So the outcome
    is recorded after the letter and before the row of the work is finished: after a crash the row is taken again.
    """

    store: EventStore
    dead_letters: DeadLetters
    commands: CommandBatcher
    clock: Clock

    async def park(self, work: BmsWork, reason: str) -> None:
        """Park one dead letter for each command of `work`, since a replay reissues one command, and record that its
        outcome is not known. So its dispatch goes on as after a BMS that does not answer. Raises any error: an outcome
        that is not recorded is recorded by a repetition.

        Of a failing restore, which is tried again without end, one letter is open at a time.
        """
        if work.command_id is None:
            await self._park(work, reason)
            return
        dispatch = await self._dispatch(work)
        for command_id in (work.command_id, *work.more):
            one = msgspec.structs.replace(work, command_id=command_id, more=())
            record = None if dispatch is None else dispatch.commands.get(str(command_id))
            if record is None or dispatch is None:
                await self._park(one, reason)
            elif record.is_open_in(work.issue):
                if not await self._is_reported(dispatch, record):
                    await self._park(one, reason)
                await self._record_outcome(one, record, reason)

    async def park_row(self, row: OpenWork, reason: str) -> None:
        """Park a row that asks for no BMS work, since nobody can carry it out."""
        await self._park_letter(row.queue, uuid5(DEAD_LETTER_IDS, f"{row.queue}:{row.number}"), row, reason)

    async def _dispatch(self, work: BmsWork) -> DispatchState | None:
        """None if it is not on record, or cannot be read."""
        stream = dispatch_id(work.dr_event_id, work.facility_id)
        load = partial(asyncio.to_thread, self.store.load, Dispatch, stream)
        try:
            return (await retry_limited(load, final=(StreamNotFound,))).state
        except Exception:
            log.exception("the dispatch of parked work cannot be read", facility=work.facility_id)
            return None

    async def _is_reported(self, dispatch: DispatchState, record: CommandRecord) -> bool:
        if record.command.phase != "restore":
            return False
        now = self.clock.now()
        is_open = partial(has_open_dead_letter, self.dead_letters, dispatch, record.command, now=now)
        return await retry_while_unavailable(partial(asyncio.to_thread, is_open))

    async def _park(self, work: BmsWork, reason: str) -> None:
        await self._park_letter(work.facility_id, _letter_id(work), work, reason)

    async def _park_letter(
        self, facility_id: str, dead_letter_id: UUID, body: msgspec.Struct, reason: str
    ) -> None:
        log.error("parked: it cannot be carried out", facility=facility_id, why=reason)
        letter = DeadLetter(
            dead_letter_id=dead_letter_id,
            queue="bms_command",
            subject=facility_id,
            reason=reason,
            body=msgspec.json.encode(body),
            parked_at=self.clock.now(),
        )
        await _stored(partial(self.dead_letters.park, letter))

    async def _record_outcome(self, work: BmsWork, record: CommandRecord, reason: str) -> None:
        command = RecordBmsGivenUp(
            dr_event_id=work.dr_event_id,
            facility_id=work.facility_id,
            command_id=record.command.command_id,
            was_sent=True,  # an earlier try or issue of it may have been
            reason=reason,
        )
        context = CommandContext(
            correlation_id=work.correlation_id,
            causation_id=work.command_id or work.causation_id,
            actor="worker:dispatch",
            tenant=work.tenant,
            trace_id=work.trace_id,
        )
        # With a key: if the letter is replayed, and the work is then parked once more, the new issue stays open.
        key = IdempotencyKey(scope="saga", key=f"given-up:{_letter_id(work)}")
        await retry_limited(partial(self.commands.handle, command, context, key=key), final=(DomainError,))


def _letter_id(work: BmsWork) -> UUID:
    return uuid5(DEAD_LETTER_IDS, f"{work.task}:{work.command_id}:{work.causation_id}")


async def _stored(write: Callable[[], None]) -> None:
    await retry_while_unavailable(partial(asyncio.to_thread, write))
