"""The relay: reads the log in order, runs the saga, and has recorded intents put on the work queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from application.command_bus.batching import CommandBatcher
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.command_bus.retry import retry_while_unavailable
from application.commands.dispatch import DispatchCommand
from application.dispatch.intent_publisher import INTENTS, IntentPublisher
from application.ports.coordination.locks import Locks
from application.ports.dispatch.work_queue import WorkPublisher
from application.ports.event_store.event_log import EventLog, LogEntry
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.failpoints import Failpoint
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from application.sagas.dispatch import DispatchSaga
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import DomainError
from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import followed_command_id
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.relay.roads import RelayQueues

READER = "relay"
BATCH = 500
HEARTBEAT_S, BUSY_S = 0.5, 0.02
GATHER_S = 0.01
"""What is recorded that soon after the newest entries is read together."""
KEEP_EVERY_S = 0.1
"""Between two moves of the position: a relay that begins again repeats no more than that."""
MOST_UNDER_WAY, MOST_AHEAD = 2_000, 100_000
"""Jobs that are no callbacks, and saves read ahead of the oldest job, before the relay reads no further."""
log = structlog.get_logger("relay")


class Signal(Protocol):
    async def wait(self, heartbeat_s: float) -> None: ...


@dataclass(frozen=True)
class Relay:
    """One active relay per system. All it does is repeatable: commands carry a key derived from the domain event
    that they follow, and messages an id, so that after a crash it begins again where its position stands.

    What concerns one facility, or one DR event, is done in the order of the log: the commands, what is asked of its
    BMS, what is told to the utility, each for itself. The rest is done at the same time.
    """

    event_log: EventLog
    positions: ReaderPositions
    commands: CommandBatcher
    publisher: WorkPublisher
    locks: Locks
    signal: Signal
    reached: Failpoint
    alerts: AlertRegistry
    dead_letters: DeadLetters
    saga: DispatchSaga = field(default_factory=DispatchSaga)

    @property
    def _intents(self) -> IntentPublisher:
        return IntentPublisher(self.publisher, self.alerts, self.dead_letters, self.reached)

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, READER, lambda: self._follow(stop), stop=stop)

    async def relay(self, entry: LogEntry) -> None:
        """Everything that follows from one domain event; done again, it changes nothing."""
        roads = RelayQueues()
        try:
            for task in self._begin(roads, [entry]):
                await task
        finally:
            await roads.aclose()

    async def _follow(self, stop: asyncio.Event) -> None:
        """Read ahead of what still runs; the position kept is the one before which all is done."""
        under_way: deque[tuple[int, list[asyncio.Future[None]]]] = deque()
        roads, now = RelayQueues(), asyncio.get_running_loop().time
        position = partial(asyncio.to_thread, self.positions.position, READER)
        read = kept = done = await retry_while_unavailable(position, stop=stop)
        kept_at = now()
        try:
            while not stop.is_set():
                entries: list[LogEntry] = []
                if roads.unfinished < MOST_UNDER_WAY and len(under_way) < MOST_AHEAD:
                    newer = partial(asyncio.to_thread, self.event_log.read_after, read, BATCH)
                    entries = await retry_while_unavailable(newer, stop=stop)
                for together in one_saves(entries):
                    under_way.append((together[-1].position, self._begin(roads, together)))
                    read = together[-1].position
                roads.raise_failure()
                done = _done_before(under_way) or done
                if done > kept and (not under_way or now() - kept_at >= KEEP_EVERY_S):
                    kept, kept_at = await self._keep(done, stop), now()
                if not entries:
                    await self.signal.wait(HEARTBEAT_S if kept == read else BUSY_S)
                elif len(entries) < BATCH:
                    await asyncio.sleep(GATHER_S)
        finally:
            await roads.aclose()

    async def _keep(self, position: int, stop: asyncio.Event) -> int:
        await retry_while_unavailable(
            partial(asyncio.to_thread, self.positions.move, READER, position), stop=stop
        )
        return position

    def _begin(self, roads: RelayQueues, entries: Sequence[LogEntry]) -> list[asyncio.Future[None]]:
        """Put what follows from domain events of one save into the lanes of those whom it concerns."""
        tasks = []
        for entry in entries:
            followed = enumerate(self.saga.follow(entry.domain_event))
            for lane, commands in groupby(followed, lambda numbered: lane_of(numbered[1])):
                job = partial(self._follow_by, entry.domain_event, dict(commands))
                tasks.append(roads.commands.put(lane, job))
        first = entries[0].domain_event
        lane = first.facility_id if isinstance(first, Dispatch.Event) else first.originator_id
        intents = [entry.domain_event for entry in entries if type(entry.domain_event) in INTENTS]
        callbacks = [intent for intent in intents if isinstance(intent, DREvent.CallbackRequested)]
        others = [intent for intent in intents if not isinstance(intent, DREvent.CallbackRequested)]
        if callbacks:
            tasks.append(roads.callbacks.put(lane, partial(self._intents.publish, callbacks)))
        if others:
            tasks.append(roads.works.put(lane, partial(self._intents.publish, others)))
        return tasks

    async def _follow_by(self, domain_event: DomainEvent, commands: Mapping[int, msgspec.Struct]) -> None:
        """`commands` by their number among all that follow from `domain_event`."""
        cause = domain_event.domain_event_id
        for index, command in commands.items():
            self.reached("relay.before_command", type(command).__name__)
            key = str(followed_command_id(cause, index))
            await retry_while_unavailable(partial(self._command, command, domain_event, cause, key))
            self.reached("relay.after_command", type(command).__name__)

    async def _command(
        self, command: msgspec.Struct, domain_event: DomainEvent, cause: UUID, key: str
    ) -> None:
        context = CommandContext(
            correlation_id=domain_event.correlation_id,
            causation_id=cause,
            actor="saga:dispatch",
            tenant=domain_event.tenant,
            trace_id=domain_event.trace_id,
        )
        try:
            await self.commands.handle(command, context, key=IdempotencyKey(scope="saga", key=key))
        except DomainError as refusal:
            # The aggregate decides whether a command still applies; its no is an answer.
            log.info("command refused", command=type(command).__name__, code=refusal.code, why=str(refusal))


def lane_of(command: msgspec.Struct) -> Hashable:
    """Whom a command concerns: what concerns the same is done in the order of the log."""
    if isinstance(command, DispatchCommand):
        return command.facility_id
    return getattr(command, "dr_event_id", type(command))


def one_saves(entries: Sequence[LogEntry]) -> Iterator[list[LogEntry]]:
    """The entries that follow each other in one stream, together."""
    together: list[LogEntry] = []
    for entry in entries:
        if together and together[-1].domain_event.originator_id != entry.domain_event.originator_id:
            yield together
            together = []
        together.append(entry)
    if together:
        yield together


def _done_before(under_way: deque[tuple[int, list[asyncio.Future[None]]]]) -> int | None:
    """The position up to which everything is done, taken out. Raises what a task raised."""
    done = None
    while under_way:
        position, tasks = under_way[0]
        for task in tasks:
            if task.done():
                task.result()
        if not all(task.done() for task in tasks):
            break
        under_way.popleft()
        done = position
    return done
