"""The simulated database as one process sees it: slow, unavailable at times, losing commit responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from application.ports.clock import ClockSkewed
from application.ports.dispatch.open_work import OpenWorkUnavailable
from application.ports.event_store.event_log import LogEntry
from application.ports.event_store.event_store import (
    ONE_DECISION,
    EventStoreUnavailable,
    IdempotencyRecord,
    SaveBounds,
    SaveRequest,
    ScopedKey,
    TAggregate,
    VersionConflict,
)
from application.ports.operations.unavailable import OperationsUnavailable
from domain.dispatch import CURTAILED
from domain.event_sourcing.aggregate import Aggregate
from projections.dispatch.projection import DispatchRow
from projections.queries.views import ReadModelsUnavailable
from tests.fakes.coordination.locks import LockBoard
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.read_models import FakeReadModels
from tests.saved_one_by_one import saved_one_by_one
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.open_work import HoldersOnBoard, SimulatedOpenWork, SimulatedWorkHolder
from tests.simulation.runtime.processes import Process
from tests.simulation.runtime.virtual_loop import Killed, VirtualLoop
from tests.simulation.scenario.fault_injection import FaultInjector
from tests.waking import complete_future

LOSS_NOTICED_S = 6.0
"""The longest time until a process notices that its session is gone, in wall seconds."""
SLOW_S = 3.0
"""The longest time of a slow commit, in clock seconds."""


class RefusedSave(NamedTuple):
    """A save that was dated too far ahead."""

    at: datetime
    process: str


class MovedPosition(NamedTuple):
    """A reader has done what follows from everything up to that position of the log."""

    at: datetime
    reader: str
    position: int


class RecordedEvents(FakeEventStore):
    """FakeEventStore that also keeps each aggregate as it was saved last: the log must replay to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: dict[UUID, Aggregate[Any]] = {}

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        changed = [aggregate for aggregate in aggregates if aggregate.pending_events]
        super().save(aggregates, idempotency=idempotency, bounds=bounds)
        for aggregate in changed:
            self.newest[aggregate.id] = aggregate.copy()


class RecordedPositions(FakeReaderPositions):
    """ReaderPositions that also keeps when each was moved."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.moved: list[MovedPosition] = []

    def move(self, reader: str, position: int) -> None:
        super().move(reader, position)
        self.moved.append(MovedPosition(self._now(), reader, position))


@dataclass
class Database:
    """The state of one PostgreSQL, shared by all processes."""

    injector: FaultInjector
    clock: VirtualClock
    """The server's own: it is right."""
    most_ahead_s: float
    """Wall seconds by which a save may be dated ahead."""
    rows: type[FakeOpenWork] = FakeOpenWork
    """The class of its open work: the fake, or a planted bug."""
    events: RecordedEvents = field(default_factory=RecordedEvents)
    positions: RecordedPositions = field(init=False)
    dead_letters: FakeDeadLetters = field(default_factory=FakeDeadLetters)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    read_models: FakeReadModels = field(default_factory=FakeReadModels)
    locks: LockBoard = field(init=False)
    down: bool = False
    saved_at: dict[int, datetime] = field(default_factory=dict)
    """Position -> when it was saved, by the server's clock. Without what was saved before the first fault."""
    dated_ahead: list[RefusedSave] = field(default_factory=list)
    _readers: list[asyncio.Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.positions = RecordedPositions(self.clock.now)
        self.locks = LockBoard(lambda: self.injector.rng.random() * LOSS_NOTICED_S)
        rows = self.rows(
            self.dead_letters,
            seconds=lambda: asyncio.get_running_loop().time(),
            random=Random(self.injector.rng.random()),
        )
        rows.living = cast("Any", HoldersOnBoard(self.locks))
        self.events.open_work = rows

    async def wait(self, heartbeat_s: float) -> None:
        """Wait until something is saved, at most `heartbeat_s`, as PostgreSQL's NOTIFY allows."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._readers.append(future)
        timer = loop.call_later(heartbeat_s, complete_future, future)
        try:
            await future
        finally:
            timer.cancel()

    def notify_readers(self) -> None:
        readers, self._readers = self._readers, []
        for future in readers:
            complete_future(future)

    def machine_now(self) -> datetime:
        """The server's clock in wall time. Raises EventStoreUnavailable."""
        if self.down:
            raise EventStoreUnavailable("simulated: the database does not respond")
        return self.clock.machine_now()

    def save(
        self,
        process: str,
        aggregates: Sequence[Aggregate[Any]],
        idempotency: IdempotencyRecord | None,
        bounds: SaveBounds,
    ) -> None:
        """Raises what `EventStore.save` raises."""
        now = self.clock.now()
        pending: list[Any] = [one for aggregate in aggregates for one in aggregate.pending_events]
        latest = max((one.recorded_at for one in pending), default=now)
        if self.clock.wall_seconds((latest - now).total_seconds()) > self.most_ahead_s:
            self.dated_ahead.append(RefusedSave(now, process))
            raise ClockSkewed(f"simulated: a decision of {process} is dated {latest}, and it is {now}")
        before = self.events.head()
        self.events.save(aggregates, idempotency=idempotency, bounds=bounds)
        self.saved_at |= dict.fromkeys(range(before + 1, self.events.head() + 1), now)
        self.notify_readers()

    def go_down(self, *, loses_locks: bool) -> None:
        """Become unavailable. With `loses_locks` all sessions lose their locks, which the holders do not notice."""
        self.down = True
        if not loses_locks:
            return
        self.locks.free_all()


@dataclass
class Session:
    """EventStore and EventLog of one process."""

    database: Database
    process: Process

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        self.reach(EventStoreUnavailable)
        return self.database.events.load(aggregate_class, stream_id)

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        self.reach(EventStoreUnavailable)
        return self.database.events.load_many(aggregate_class, stream_ids)

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        self.reach(EventStoreUnavailable)
        return self.database.events.find_reply(scope, key)

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        self.reach(EventStoreUnavailable)
        return self.database.events.find_replies(keys)

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        injector, name = self.database.injector, self.process.name
        if injector.strikes("database.is_slow", name):
            self._wait()
        if self.database.down or injector.strikes("database.refuses_commit", name):
            raise EventStoreUnavailable("simulated: commit refused")
        self.database.save(name, aggregates, idempotency, bounds)
        if injector.strikes("database.loses_commit_answer", name):
            raise EventStoreUnavailable("simulated: committed, but the response was lost")
        if injector.strikes("database.conflicts_with_itself", name):
            raise VersionConflict(
                "simulated: committed, repeated by the recorder, and conflicted with its own events"
            )

    def save_each(self, savings: Sequence[SaveRequest]) -> list[Exception | None]:
        return saved_one_by_one(self, savings)

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        self.reach(EventStoreUnavailable)
        return self.database.events.read_after(position, limit)

    def head(self) -> int:
        self.reach(EventStoreUnavailable)
        return self.database.events.head()

    def reach(self, refusal: type[Exception]) -> None:
        """Raises `refusal` while the database is unavailable."""
        if self.database.down or self.database.injector.strikes("database.refuses_read", self.process.name):
            raise refusal("simulated: the database does not respond")

    @property
    def positions(self) -> Any:
        return Guarded(self.database.positions, lambda: self.reach(EventStoreUnavailable))

    @property
    def dead_letters(self) -> Any:
        return Guarded(self.database.dead_letters, lambda: self.reach(OperationsUnavailable))

    @property
    def alerts(self) -> Any:
        return Guarded(self.database.alerts, lambda: self.reach(OperationsUnavailable))

    @property
    def deadlines(self) -> Any:
        return Guarded(self.database.read_models.deadlines, lambda: self.reach(ReadModelsUnavailable))

    @property
    def open_work(self) -> Any:
        rows = self.database.events.open_work
        return SimulatedOpenWork(rows, lambda: self.reach(OpenWorkUnavailable), self.database.injector)

    def work_holder(self) -> SimulatedWorkHolder:
        rows, board = self.database.events.open_work, self.database.locks
        return SimulatedWorkHolder(rows, board, self.process, lambda: self.reach(OpenWorkUnavailable))

    def view(self, name: Literal["dr_events", "facilities", "dispatches"]) -> Any:
        return Guarded(getattr(self.database.read_models, name), lambda: self.reach(ReadModelsUnavailable))

    def curtailed(self, facility_id: str | None = None) -> list[DispatchRow]:
        """The dispatches of curtailed buildings according to the read model: all, or those of one building."""
        self.reach(ReadModelsUnavailable)
        rows = self.database.read_models.rows["dispatches"].by_key.values()
        return [row for row in rows if row.status in CURTAILED and facility_id in {None, row.facility_id}]

    def _wait(self) -> None:
        """A slow commit: other processes run meanwhile, and this one may die before the end."""
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        loop.let_others_run(self.database.clock.wall_seconds(self.database.injector.rng.random() * SLOW_S))
        if self.process.dead and self.database.injector.rng.random() < 0.5:
            raise Killed


class Guarded:
    """Calls `reach` before every method of `target`."""

    def __init__(self, target: object, reach: Callable[[], None]) -> None:
        self._target = target
        self._reach = reach

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._reach()
            return method(*args, **kwargs)

        return call
