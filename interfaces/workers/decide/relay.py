"""The relay: reads the log in order, runs the saga, and updates alerts and dead letters."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from typing import TypeVar
from uuid import UUID

import msgspec
import structlog

from application.command_bus.batching import CommandBatcher
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.command_bus.retry import retry_limited, retry_while_unavailable
from application.command_bus.spans import logged, subject_of
from application.commands.dispatch import DispatchCommand
from application.dispatch.register_updates import RegisterUpdates
from application.event_store.event_mapper import UnknownTopic
from application.operations.command_parking import CommandParking, SagaCommands, rule_letter_id
from application.operations.command_parking import letter_id as command_letter_id
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.event_store.event_log import EventLog, LogEntry, LogEntryUnreadable
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.failpoints import Failpoint
from application.ports.operations.dead_letters import DeadLetters
from application.sagas.dispatch import DispatchSaga
from domain.dispatch import Dispatch
from domain.errors import DomainError
from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import followed_command_id
from interfaces.workers.decide.ordered_executor import KeyedExecutor
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.loops.open_work import Signal

READER = "relay"
BATCH = 500
HEARTBEAT_S, BUSY_S = 0.5, 0.02
COALESCE_WINDOW_S = 0.01
"""Pause before the next read, so that entries recorded in quick succession are read together."""
MOVE_POSITION_EVERY_S = 0.1
"""A relay that starts over repeats at most the work of this time."""
MOST_UNDER_WAY, MOST_AHEAD = 2_000, 100_000
"""The relay pauses reading at so many unfinished jobs, or so many saves after the oldest job."""
COMMANDS_AT_ONCE = 100
"""The command batcher carries them out together."""
UPDATES_AT_ONCE = 24
TAnswer = TypeVar("TAnswer")
log = structlog.get_logger("decide")


class RelayQueues:
    """The jobs under way, with a separate concurrency limit for commands and for updates of registers."""

    def __init__(self) -> None:
        self.commands = KeyedExecutor(COMMANDS_AT_ONCE)
        self.updates = KeyedExecutor(UPDATES_AT_ONCE)

    @property
    def unfinished(self) -> int:
        return self.commands.unfinished + self.updates.unfinished

    def raise_failure(self) -> None:
        """Raise the error of a failed job, also of one queued behind unfinished jobs."""
        for executor in (self.commands, self.updates):
            if executor.failure is not None:
                raise executor.failure

    async def aclose(self) -> None:
        for executor in (self.commands, self.updates):
            await executor.aclose()


@dataclass(frozen=True)
class Relay:
    """One is active per system. All its work is repeatable: commands carry a key derived from the domain event that
    they follow. After a crash it starts over from its position.

    A rule or a command that fails for good is parked as a dead letter (ADR 0060), and the position moves on.

    The commands of one facility or DR event are given in the order of the log, and everything else concurrently.
    """

    event_log: EventLog
    positions: ReaderPositions
    commands: CommandBatcher
    locks: Locks
    signal: Signal
    reached: Failpoint
    dead_letters: DeadLetters
    clock: Clock
    saga: DispatchSaga = field(default_factory=DispatchSaga)

    @cached_property
    def _parking(self) -> CommandParking:
        return CommandParking(self.dead_letters, self.clock)

    @cached_property
    def _registers(self) -> RegisterUpdates:
        return RegisterUpdates(self.dead_letters)

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, READER, lambda: self._follow(stop), stop=stop)

    async def relay(self, entry: LogEntry) -> None:
        """Do everything that follows from one domain event; a repetition changes nothing."""
        queues = RelayQueues()
        try:
            for task in self._begin(queues, [entry]):
                await task
        finally:
            await queues.aclose()

    async def _follow(self, stop: asyncio.Event) -> None:
        """Read ahead of the running jobs. The position is moved to where everything before it is done."""
        under_way: deque[tuple[int, list[asyncio.Future[None]]]] = deque()
        queues, now = RelayQueues(), asyncio.get_running_loop().time
        position = partial(asyncio.to_thread, self.positions.position, READER)
        read = moved = done = await retry_while_unavailable(position, stop=stop)
        await retry_while_unavailable(partial(asyncio.to_thread, self._load_parked), stop=stop)
        moved_at = now()
        try:
            while not stop.is_set():
                entries: list[LogEntry] = []
                if queues.unfinished < MOST_UNDER_WAY and len(under_way) < MOST_AHEAD:
                    newer = partial(asyncio.to_thread, self.event_log.read_after, read, BATCH)
                    entries = await retry_while_unavailable(newer, stop=stop)
                for together in saves_of(entries):
                    under_way.append((together[-1].position, self._begin(queues, together)))
                    read = together[-1].position
                queues.raise_failure()
                done = _done_before(under_way) or done
                if done > moved and (not under_way or now() - moved_at >= MOVE_POSITION_EVERY_S):
                    moved, moved_at = await self._move(done, stop), now()
                if not entries:
                    await self.signal.wait(HEARTBEAT_S if moved == read else BUSY_S)
                elif len(entries) < BATCH:
                    await asyncio.sleep(COALESCE_WINDOW_S)
        finally:
            await queues.aclose()

    def _load_parked(self) -> None:
        self._parking.load(self.event_log.head())

    async def _move(self, position: int, stop: asyncio.Event) -> int:
        await retry_while_unavailable(
            partial(asyncio.to_thread, self.positions.move, READER, position), stop=stop
        )
        return position

    def _begin(self, queues: RelayQueues, entries: Sequence[LogEntry]) -> list[asyncio.Future[None]]:
        """Queue what follows from the domain events of one save, each job under the key of its facility or DR event."""
        tasks = [task for entry in entries for task in self._begin_commands(queues.commands, entry)]
        for domain_event in (entry.domain_event for entry in entries):
            if isinstance(domain_event, Dispatch.RestoredByHand):
                update = partial(self._registers.follow, domain_event)
                tasks.append(queues.updates.put(stream_key(domain_event), update))
        return tasks

    def _begin_commands(self, executor: KeyedExecutor, entry: LogEntry) -> Iterator[asyncio.Future[None]]:
        try:
            followed = enumerate(self.saga.follow(entry.domain_event))
        except Exception as error:  # noqa: BLE001 - it must not stop other keys; a pure rule fails the same way again
            key = stream_key(entry.domain_event)
            reason = f"{type(error).__name__}: {error}"
            yield executor.put(key, partial(self._park_rule, str(key), entry, reason))
            return
        for key, commands in groupby(followed, lambda numbered: ordering_key(numbered[1])):
            yield executor.put(key, partial(self._follow_by, str(key), entry, dict(commands)))

    async def _park_rule(self, key: str, entry: LogEntry, reason: str) -> None:
        letter_id = rule_letter_id(entry.domain_event.domain_event_id)
        with logged(entry.domain_event.trace_id, **subject_of(entry.domain_event)):
            if not await self._was_parked(entry, letter_id):
                await self._park(letter_id, key, entry, {}, reason)

    async def _was_parked(self, entry: LogEntry, letter_id: UUID) -> bool:
        """Whether an earlier relay parked those commands, or the domain event, as its rule failed."""
        if not self._parking.may_be_parked(entry.position):
            return False
        of_rule = rule_letter_id(entry.domain_event.domain_event_id)
        return await self._stored(partial(self._parking.is_parked, letter_id, of_rule))

    async def _follow_by(self, key: str, entry: LogEntry, commands: Mapping[int, msgspec.Struct]) -> None:
        """Give the commands in order, or park them. `commands` maps the number of each among all that follow."""
        with logged(entry.domain_event.trace_id, **subject_of(entry.domain_event)):
            await self._give(key, entry, commands)

    async def _give(self, key: str, entry: LogEntry, commands: Mapping[int, msgspec.Struct]) -> None:
        letter_id = command_letter_id(entry.domain_event.domain_event_id, next(iter(commands)))
        if await self._was_parked(entry, letter_id):
            return
        if await self._stored(partial(self._parking.blocks, key)):
            await self._park(letter_id, key, entry, commands, "it waits behind an earlier one")
            return
        for number, command in commands.items():
            self.reached("decide.before_command", type(command).__name__)
            try:
                await retry_limited(partial(self._command, command, number, entry), final=(UnknownTopic,))
            except UnknownTopic as error:
                # A stream holds a domain event of a newer release, whose relay continues from here.
                raise LogEntryUnreadable(entry.position, entry.topic, str(error)) from error
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the commands of other keys
                rest = {one: commands[one] for one in commands if one >= number}
                await self._park(letter_id, key, entry, rest, f"{type(error).__name__}: {error}")
                return
            self.reached("decide.after_command", type(command).__name__)

    async def _park(
        self,
        letter_id: UUID,
        key: str,
        entry: LogEntry,
        commands: Mapping[int, msgspec.Struct],
        reason: str,
    ) -> None:
        following = SagaCommands.of(entry, commands)
        await self._stored(partial(self._parking.park, letter_id, key, following, reason))

    async def _stored(self, access: Callable[[], TAnswer]) -> TAnswer:
        return await retry_while_unavailable(partial(asyncio.to_thread, access))

    async def _command(self, command: msgspec.Struct, number: int, entry: LogEntry) -> None:
        domain_event = entry.domain_event
        context = CommandContext(
            correlation_id=domain_event.correlation_id,
            causation_id=domain_event.domain_event_id,
            actor="saga:dispatch",
            tenant=domain_event.tenant,
            trace_id=domain_event.trace_id,
        )
        key = str(followed_command_id(domain_event.domain_event_id, number))
        try:
            await self.commands.handle(command, context, key=IdempotencyKey(scope="saga", key=key))
        except DomainError as refusal:
            # The aggregate decides whether a command still applies; a refusal is a valid outcome.
            log.info("command refused", command=type(command).__name__, code=refusal.code, why=str(refusal))


def ordering_key(command: msgspec.Struct) -> Hashable:
    """Commands with the same key are carried out in the order of the log."""
    if isinstance(command, DispatchCommand):
        return command.facility_id
    return getattr(command, "dr_event_id", type(command))


def stream_key(domain_event: DomainEvent) -> Hashable:
    """The key under which the updates of registers are done in order."""
    return (
        domain_event.facility_id if isinstance(domain_event, Dispatch.Event) else domain_event.originator_id
    )


def saves_of(entries: Sequence[LogEntry]) -> Iterator[list[LogEntry]]:
    """Group consecutive entries of the same stream."""
    together: list[LogEntry] = []
    for entry in entries:
        if together and together[-1].domain_event.originator_id != entry.domain_event.originator_id:
            yield together
            together = []
        together.append(entry)
    if together:
        yield together


def _done_before(under_way: deque[tuple[int, list[asyncio.Future[None]]]]) -> int | None:
    """Remove the saves that are done; returns the position of the last one. Raises the error of a failed task."""
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
