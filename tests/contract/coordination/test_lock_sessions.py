"""The contract of LockSessions: who holds a lock, and another one after each restart."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.embedded.postgres import COMMANDS, PROJECTIONS
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.operations.lock_sessions import PostgresLockSessions
from application.ports.coordination.lock_sessions import LockSessions
from tests.fakes.coordination.lock_sessions import FakeLockSessions
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.servers import Database, PostgresServer

Processes = tuple[LockSessions, Callable[[], Any]]


def role_dsns(server: PostgresServer, database: Database) -> tuple[str, str]:
    """The observer's role and the holder's, as in a system whose workers have roles of their own. PostgreSQL shows a
    role little of the sessions of another one."""
    return server.embedded.url(COMMANDS, database.name), server.embedded.url(PROJECTIONS, database.name)


@pytest.fixture(params=["fake", "postgres"])
def system(request: pytest.FixtureRequest) -> Iterator[Processes]:
    """The observer, and a function that creates the locks of another process."""
    if request.param == "fake":
        board = LockBoard()
        yield FakeLockSessions(board), lambda: FakeLocks(board)
        return
    commands, projections = role_dsns(
        request.getfixturevalue("postgres_server"), request.getfixturevalue("database")
    )
    with ConnectionPool[Any](commands, min_size=1, max_size=1) as pool:
        yield PostgresLockSessions(pool), lambda: AdvisoryLocks(LockSession(projections))


def test_a_held_lock_has_a_holder_which_changes_with_the_process(system: Processes) -> None:
    sessions, process = system

    async def holder(name: str) -> str:
        locks = process()
        async with locks.held(name):
            found = dict(sessions.holders(["relay", "nobody's"]))
            assert found == dict(sessions.holders(["relay", "nobody's"]))
        await locks.aclose()
        assert set(found) == {"relay"}
        return found["relay"]

    assert sessions.holders(["relay"]) == {}
    first, second = asyncio.run(holder("relay")), asyncio.run(holder("relay"))
    assert first != second
    assert sessions.holders(["relay"]) == {}


def test_the_lock_of_a_projection_has_a_holder_too(
    postgres_server: PostgresServer, database: Database
) -> None:
    commands, projections = role_dsns(postgres_server, database)
    with (
        ConnectionPool[Any](commands, min_size=1, max_size=1) as pool,
        psycopg.connect(projections, autocommit=True) as runner,
    ):
        sessions = PostgresLockSessions(pool)
        assert sessions.holders(["projection facilities"]) == {}
        runner.execute("SELECT pg_try_advisory_lock(hashtextextended('projection facilities', 0))")
        found = sessions.holders(["projection facilities", "projection others"])
        assert found.keys() == {"projection facilities"}
        assert found["projection facilities"]
