"""Open work with workers that live and die, in memory and on PostgreSQL, for its contract and its state machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.coordination.work_holder import WORK_CLASS, PostgresWorkHolder
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from adapters.postgres.operations.open_work import PostgresOpenWork
from application.ports.dispatch.open_work import OpenWorkRows, WorkHolder, WorkKind
from application.ports.operations.dead_letters import DeadLetters
from tests.fakes.dispatch.open_work import FakeOpenWork, FakeWorkHolder
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.servers import Database

LOCKED = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = %s::bigint::oid AND objid = %s::bigint::oid"
Intent = tuple[WorkKind, str, int]


class OpenWorkWorld(Protocol):
    rows: OpenWorkRows
    letters: DeadLetters

    def add(self, intents: Iterable[Intent]) -> None:
        """Rows as saves would write them."""
        ...

    def new_worker(self) -> WorkHolder: ...

    def number_of(self, worker: WorkHolder) -> int: ...

    def kill(self, worker: WorkHolder) -> None:
        """It loses its session of locks."""
        ...

    def let_pauses_pass(self) -> None:
        """Whatever was put off is due."""
        ...


class FakeWorld:
    def __init__(self) -> None:
        self.seconds = 0.0
        letters = FakeDeadLetters()
        self.letters: DeadLetters = letters
        self.fake = FakeOpenWork(letters, seconds=lambda: self.seconds)
        self.rows: OpenWorkRows = self.fake

    def add(self, intents: Iterable[Intent]) -> None:
        self.fake.add(intents)

    def new_worker(self) -> WorkHolder:
        return FakeWorkHolder(self.fake)

    def number_of(self, worker: WorkHolder) -> int:
        return asyncio.run(worker.number())

    def kill(self, worker: WorkHolder) -> None:
        assert isinstance(worker, FakeWorkHolder)
        worker.lose()

    def let_pauses_pass(self) -> None:
        self.seconds += 1_000_000.0


class PostgresWorld:
    """`owner` may do what no role of the product may."""

    def __init__(
        self, database: Database, pool: ConnectionPool[Any], owner: psycopg.Connection, runner: asyncio.Runner
    ) -> None:
        self.rows: OpenWorkRows = PostgresOpenWork(pool)
        self.letters: DeadLetters = PostgresDeadLetters(pool)
        self.owner = owner
        self._dsn = database.app_dsn
        self._runner = runner
        self._sessions: dict[WorkHolder, LockSession] = {}
        self._numbers: dict[WorkHolder, int] = {}

    def add(self, intents: Iterable[Intent]) -> None:
        with self.owner.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO gridproof.open_work (kind, queue, position) VALUES (%s, %s, %s)", list(intents)
            )

    def new_worker(self) -> WorkHolder:
        session = LockSession(self._dsn)
        worker = PostgresWorkHolder(session)
        self._sessions[worker] = session
        return worker

    def number_of(self, worker: WorkHolder) -> int:
        number = self._numbers[worker] = self._runner.run(worker.number())
        return number

    def kill(self, worker: WorkHolder) -> None:
        self._runner.run(self._sessions[worker].aclose())
        number = self._numbers.pop(worker, None)
        while self.owner.execute(LOCKED, (WORK_CLASS, number)).fetchone() is not None:
            time.sleep(0.005)  # PostgreSQL ends the session when it reads that the client has closed it

    def clear(self) -> None:
        """As a new world, for the next example of a property."""
        self.owner.execute("TRUNCATE gridproof.open_work, gridproof.dead_letters RESTART IDENTITY")

    def let_pauses_pass(self) -> None:
        self.owner.execute("UPDATE gridproof.open_work SET due_at = '-infinity'")

    def end_sessions(self) -> None:
        for worker in self._sessions:
            self.kill(worker)


@contextmanager
def postgres_world(database: Database) -> Iterator[PostgresWorld]:
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4) as pool,
        psycopg.connect(database.owner_dsn, autocommit=True) as owner,
        asyncio.Runner() as runner,
    ):
        world = PostgresWorld(database, pool, owner, runner)
        try:
            yield world
        finally:
            world.end_sessions()
