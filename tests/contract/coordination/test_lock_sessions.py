"""The contract of LockSessions: who holds a lock, and another one after each restart."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.coordination.session_locks import AdvisoryLocks
from adapters.postgres.operations.lock_sessions import PostgresLockSessions
from application.ports.coordination.lock_sessions import LockSessions
from tests.fakes.coordination.lock_sessions import FakeLockSessions
from tests.fakes.coordination.locks import FakeLocks
from tests.servers import Database
from tests.simulation.doubles.locks import LockBoard

Processes = tuple[LockSessions, Callable[[], Any]]


@pytest.fixture(params=["fake", "postgres"])
def system(request: pytest.FixtureRequest) -> Iterator[Processes]:
    """The observer, and a function that creates the locks of another process."""
    if request.param == "fake":
        board = LockBoard()
        yield FakeLockSessions(board), lambda: FakeLocks(board)
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        yield PostgresLockSessions(pool), lambda: AdvisoryLocks(database.app_dsn)


def test_a_held_lock_has_a_holder_which_changes_with_the_process(system: Processes) -> None:
    sessions, process = system

    async def holder(name: str) -> str:
        locks = process()
        async with locks.held(name):
            found = dict(sessions.holders(["relay", "nobody's"]))
        await locks.aclose()
        assert set(found) == {"relay"}
        return found["relay"]

    assert sessions.holders(["relay"]) == {}
    first, second = asyncio.run(holder("relay")), asyncio.run(holder("relay"))
    assert first != second
    assert sessions.holders(["relay"]) == {}


def test_the_lock_of_a_projection_has_a_holder_too(database: Database) -> None:
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool,
        psycopg.connect(database.app_dsn, autocommit=True) as runner,
    ):
        sessions = PostgresLockSessions(pool)
        assert sessions.holders(["projection facilities"]) == {}
        runner.execute("SELECT pg_try_advisory_lock(hashtextextended('projection facilities', 0))")
        assert set(sessions.holders(["projection facilities", "projection others"])) == {
            "projection facilities"
        }
