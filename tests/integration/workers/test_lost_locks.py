"""A holder stops its work when its database session ends, and takes the lock again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession, lock_key
from application.ports.coordination.locks import LockLost
from interfaces.workers.loops.leader_loop import run_as_leader
from tests.servers import Database, PostgresServer

PATIENCE_S = 60.0
Story = Callable[[], Awaitable[None]]


def run(scenario: Story) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()

    asyncio.run(in_time())


def end_sessions(database: Database) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'gridproof locks %' AND datname = current_database()"
        )


class Inside:
    """The number of holders inside, and the number of entries."""

    def __init__(self) -> None:
        self.now, self.visits, self.changed = 0, 0, asyncio.Condition()

    async def stay(self) -> None:
        await self._add(1)
        try:
            await asyncio.Event().wait()
        finally:
            await self._add(-1)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(condition)

    async def _add(self, number: int) -> None:
        async with self.changed:
            self.now, self.visits = self.now + number, self.visits + max(number, 0)
            self.changed.notify_all()


def test_work_is_stopped_with_its_session_and_restarted(database: Database) -> None:
    async def scenario() -> None:
        inside, stop = Inside(), asyncio.Event()
        processes = [AdvisoryLocks(LockSession(database.app_dsn)) for _ in range(2)]
        working = [
            asyncio.create_task(run_as_leader(locks, "relay", inside.stay, stop=stop)) for locks in processes
        ]
        for visit in range(1, 4):
            await inside.until(lambda visit=visit: inside.visits >= visit and inside.now == 1)  # type: ignore[misc]
            await asyncio.to_thread(end_sessions, database)
        await inside.until(lambda: inside.visits >= 4)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        assert inside.now == 0
        for locks in processes:
            await locks.aclose()

    run(scenario)


def test_only_the_locks_of_an_ended_session_are_lost(database: Database) -> None:
    async def scenario() -> None:
        session = LockSession(database.app_dsn)
        mine, other = AdvisoryLocks(session), AdvisoryLocks(LockSession(database.app_dsn))

        async def hold(locks: AdvisoryLocks, name: str, entered: asyncio.Event) -> None:
            async with locks.held(name):
                entered.set()
                await asyncio.Event().wait()

        entered = [asyncio.Event() for _ in range(3)]
        holders = [
            asyncio.create_task(hold(locks, name, is_in))
            for locks, name, is_in in zip((mine, mine, other), "abc", entered, strict=True)
        ]
        for is_in in entered:
            await is_in.wait()
        assert session._connection is not None
        pid = session._connection.info.backend_pid
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
        for holder in holders[:2]:
            with pytest.raises(LockLost):
                await holder
        assert not holders[2].done()
        assert not is_free(database, "c")
        holders[2].cancel()
        await asyncio.gather(holders[2], return_exceptions=True)
        assert is_free(database, "c")
        await mine.aclose()
        await other.aclose()

    run(scenario)


def test_a_lock_is_taken_again_after_postgres_was_killed(
    database: Database, postgres_server: PostgresServer
) -> None:
    async def scenario() -> None:
        inside, stop = Inside(), asyncio.Event()
        locks = AdvisoryLocks(LockSession(database.app_dsn))
        working = asyncio.create_task(run_as_leader(locks, "relay", inside.stay, stop=stop))
        await inside.until(lambda: inside.now == 1)
        await asyncio.to_thread(postgres_server.kill)
        await inside.until(lambda: inside.now == 0)
        await asyncio.to_thread(postgres_server.start)
        await inside.until(lambda: inside.visits == 2)
        assert not is_free(database, "relay")
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await locks.aclose()

    run(scenario)


def is_free(database: Database, name: str) -> bool:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        row: Any = admin.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(name),)).fetchone()
    return bool(row[0])


def test_a_wait_for_a_lock_ends_when_it_is_stopped(database: Database) -> None:
    async def scenario() -> None:
        inside, stop = Inside(), asyncio.Event()
        active, standby = (
            AdvisoryLocks(LockSession(database.app_dsn)),
            AdvisoryLocks(LockSession(database.app_dsn)),
        )
        async with active.held("schedule"):
            waiting = asyncio.create_task(run_as_leader(standby, "schedule", inside.stay, stop=stop))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            stop.set()
            await waiting
        assert inside.visits == 0
        for locks in (active, standby):
            await locks.aclose()

    run(scenario)
