"""The relay: reads the log in order, runs the saga, and puts recorded intents on the work queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from application.command_bus import CommandBus
from application.deciding import CommandContext, IdempotencyKey
from application.ports.alerts import AlertRegistry
from application.ports.event_log import EventLog, LogEntry
from application.ports.event_store import EventStoreUnavailable
from application.ports.locks import Locks
from application.ports.reader_positions import ReaderPositions
from application.ports.work_queue import BmsTask, BmsWork, CallbackWork, WorkPublisher, WorkQueueUnavailable
from application.sagas.dispatch import DispatchSaga
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import DomainError
from domain.event_sourcing import DomainEvent
from domain.identifiers import followed_command_id
from interfaces.failpoints import Failpoint

READER = "relay"
BATCH = 200
HEARTBEAT_S = 0.5
RETRY_S = 0.25
LEAST_SUCCESS = 0.8
"""Of the facilities asked; below it an operator is told."""
log = structlog.get_logger("relay")


class Signal(Protocol):
    async def wait(self, heartbeat_s: float) -> None: ...


@dataclass(frozen=True)
class Relay:
    """One active relay per system. All it does is repeatable: commands carry a key derived from the domain event
    that they follow, and messages an id, so that after a crash it begins again where its position stands."""

    event_log: EventLog
    positions: ReaderPositions
    bus: CommandBus
    publisher: WorkPublisher
    locks: Locks
    signal: Signal
    reached: Failpoint
    alerts: AlertRegistry
    saga: DispatchSaga = field(default_factory=DispatchSaga)

    async def run(self, stop: asyncio.Event) -> None:
        async with self.locks.held(READER):
            while not stop.is_set():
                try:
                    if not await self._advance():
                        await self.signal.wait(HEARTBEAT_S)
                except EventStoreUnavailable as error:
                    log.warning("event store unavailable; trying again", why=str(error))
                    await asyncio.sleep(RETRY_S)

    async def _advance(self) -> int:
        """Act on the next entries of the log, then remember that; how many there were."""
        position = await asyncio.to_thread(self.positions.position, READER)
        entries = await asyncio.to_thread(self.event_log.read_after, position, BATCH)
        for entry in entries:
            await self.relay(entry)
        if entries:
            await asyncio.to_thread(self.positions.move, READER, entries[-1].position)
        return len(entries)

    async def relay(self, entry: LogEntry) -> None:
        """Everything that follows from one domain event; done again, it changes nothing."""
        domain_event = entry.domain_event
        for index, command in enumerate(self.saga.follow(domain_event)):
            command_id = followed_command_id(domain_event.domain_event_id, index)
            self.reached("relay.before_command", type(command).__name__)
            await self._command(command, domain_event, str(command_id))
            self.reached("relay.after_command", type(command).__name__)
        await self._intent(domain_event)

    async def _command(self, command: msgspec.Struct, domain_event: DomainEvent, key: str) -> None:
        context = CommandContext(
            correlation_id=domain_event.correlation_id,
            causation_id=domain_event.domain_event_id,
            actor="saga:dispatch",
            tenant=domain_event.tenant,
            trace_id=domain_event.trace_id,
        )
        try:
            await asyncio.to_thread(
                self.bus.handle, command, context, key=IdempotencyKey(scope="saga", key=key)
            )
        except DomainError as refusal:
            # The aggregate decides whether a command still applies; its no is an answer.
            log.info("command refused", command=type(command).__name__, code=refusal.code, why=str(refusal))

    async def _intent(self, domain_event: DomainEvent) -> None:
        match domain_event:
            case Dispatch.BmsCommandRequested(command=command):
                await self._bms(domain_event, "command", command.command_id, f"{command.command_id}:1")
            case Dispatch.BmsCommandReissued(command_id=command_id, issue=issue):
                await self._bms(domain_event, "command", command_id, f"{command_id}:{issue}")
            case Dispatch.Committed():
                await self._bms(domain_event, "verify", None, f"verify:{domain_event.domain_event_id}")
            case DREvent.CallbackRequested():
                await self._callback(domain_event)
            case DREvent.Completed():
                await self._judge_batch(domain_event)
            case _:
                pass

    async def _bms(
        self, domain_event: Dispatch.Event, task: BmsTask, command_id: UUID | None, message_id: str
    ) -> None:
        work = BmsWork(
            task=task,
            dr_event_id=domain_event.dr_event_id,
            facility_id=domain_event.facility_id,
            command_id=command_id,
            correlation_id=domain_event.correlation_id,
            causation_id=domain_event.domain_event_id,
            tenant=domain_event.tenant,
            trace_id=domain_event.trace_id,
        )
        await self._publish(lambda: self.publisher.publish_bms(work, message_id=message_id), message_id)

    async def _callback(self, intent: DREvent.CallbackRequested) -> None:
        work = CallbackWork(
            dr_event_id=intent.originator_id,
            callback_id=intent.callback_id,
            kind=intent.kind,
            utility_id=intent.tenant or "none",
            url=intent.url,
            body=intent.body,
            correlation_id=intent.correlation_id,
            causation_id=intent.domain_event_id,
            trace_id=intent.trace_id,
        )
        message_id = str(intent.callback_id)
        await self._publish(lambda: self.publisher.publish_callback(work, message_id=message_id), message_id)

    async def _judge_batch(self, completed: DREvent.Completed) -> None:
        batch = completed.batch
        if batch.asked and (batch.asked - batch.failed) / batch.asked < LEAST_SUCCESS:
            detail = f"{batch.asked - batch.failed} of {batch.asked} facilities served"
            await asyncio.to_thread(
                self.alerts.raise_alert,
                "batch_below_80_percent",
                str(completed.originator_id),
                detail,
                at=completed.recorded_at,
            )

    async def _publish(self, publish: Callable[[], Awaitable[None]], message_id: str) -> None:
        """Until the queue has it: the position does not move past an intent that is not on its way."""
        self.reached("relay.before_publish", message_id)
        while True:
            try:
                await publish()
                break
            except WorkQueueUnavailable as error:
                log.warning("work queue unavailable; trying again", why=str(error))
                await asyncio.sleep(RETRY_S)
        self.reached("relay.after_publish", message_id)
