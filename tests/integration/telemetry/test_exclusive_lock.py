"""The exclusive lock on PostgreSQL: one holder at a time, also after kills and outages."""

import asyncio
from contextlib import AsyncExitStack

import psycopg
import pytest

from adapters.postgres.connection.session import with_release
from adapters.postgres.coordination import session_locks
from adapters.postgres.coordination.exclusive_lock import PostgresExclusiveLock, exclusive_session
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer

NAME = "the only one"


def exclusive(database: Database, name: str = NAME) -> PostgresExclusiveLock:
    """The lock of another process."""
    return PostgresExclusiveLock(exclusive_session(database.app_dsn, name), name)


def test_the_next_waiter_gets_the_lock_when_it_is_released(database: Database) -> None:
    async def scenario() -> None:
        first, second = (exclusive(database) for _ in range(2))
        async with AsyncExitStack() as waiting:
            async with first.held() as lost:
                entering = asyncio.create_task(waiting.enter_async_context(second.held()))
                await asyncio.sleep(0.5)
                assert not entering.done()
                assert not lost.is_set()
            await asyncio.wait_for(entering, ANSWER_S)

    asyncio.run(scenario())


def test_locks_of_different_names_do_not_wait_for_each_other(database: Database) -> None:
    async def scenario() -> None:
        async with (
            exclusive(database).held(),
            asyncio.timeout(ANSWER_S),
            exclusive(database, "another").held(),
        ):
            pass

    asyncio.run(scenario())


def test_waiting_for_a_lock_can_be_cancelled(database: Database) -> None:
    async def scenario() -> None:
        first, second = (exclusive(database) for _ in range(2))
        async with first.held():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3), second.held():
                    raise AssertionError("two holders at once")
        async with asyncio.timeout(ANSWER_S), second.held():
            pass

    asyncio.run(scenario())


def _end_sessions(database: Database, *, and_take_it: bool) -> psycopg.Connection[tuple[object, ...]]:
    admin = psycopg.connect(database.admin_dsn, autocommit=True)
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        (with_release(f"turn {NAME}"),),
    )
    if and_take_it:
        admin.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (NAME,))
    return admin


def _is_held(database: Database) -> bool:
    with psycopg.connect(database.admin_dsn) as admin:
        row = admin.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND application_name = %s",
            (with_release(f"turn {NAME}"),),
        ).fetchone()
    return row == (1,)


def test_a_holder_with_a_broken_session_keeps_the_lock_if_nobody_took_it(database: Database) -> None:
    async def scenario() -> None:
        turn = exclusive(database)
        async with turn.held() as lost:
            (await asyncio.to_thread(_end_sessions, database, and_take_it=False)).close()
            async with asyncio.timeout(ANSWER_S):
                while not await asyncio.to_thread(_is_held, database):  # noqa: ASYNC110 - asked of the server
                    await asyncio.sleep(0.05)
            assert not lost.is_set()

    asyncio.run(scenario())


def test_a_holder_is_notified_that_its_lock_was_taken(database: Database) -> None:
    async def scenario() -> None:
        async with exclusive(database).held() as lost:
            admin = await asyncio.to_thread(_end_sessions, database, and_take_it=True)
            await asyncio.wait_for(lost.wait(), ANSWER_S)
            admin.close()

    asyncio.run(scenario())


def test_a_holder_continues_while_the_database_is_unavailable(
    database: Database, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_locks, "GIVE_UP_S", 60.0)  # a busy machine starts a killed server slowly

    async def scenario() -> None:
        async with exclusive(database).held() as lost:
            await asyncio.to_thread(postgres_server.kill)
            try:
                await asyncio.sleep(3.0)
                assert not lost.is_set()
            finally:
                await asyncio.to_thread(postgres_server.start)
            await asyncio.sleep(3.0)
            assert not lost.is_set()

    asyncio.run(scenario())
