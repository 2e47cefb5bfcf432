"""One session holds all locks of a process: its key spaces, what its policies share, and how it is lost."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.postgres.coordination import exclusive_lock, session_locks
from adapters.postgres.coordination.call_slots import CALL_SLOTS, PostgresCallSlots
from adapters.postgres.coordination.exclusive_lock import (
    PostgresExclusiveLock,
    PostgresLockHolders,
    exclusive_session,
)
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.partition_assignment import LOCK_CLASS, PostgresPartitionAssignment
from adapters.postgres.coordination.session_locks import (
    NAMES,
    NUMBERS,
    Key,
    KeySpace,
    LockSession,
    lock_key,
    try_lock,
)
from application.ports.coordination.locks import LockLost
from domain.telemetry.meter_reading import ALL_PARTITIONS
from tests.integration.workers.test_lost_call_slots import Link
from tests.servers import Database

PATIENCE_S = 60.0
SERVER_FREES_AFTER_S = 10.0
"""tcp_user_timeout; the keepalives take a second more."""

# The statements of the release before: it runs beside this one during an upgrade.
EARLIER_RELEASE: list[tuple[KeySpace, Key, str, Any]] = [
    (NUMBERS, lock_key("relay"), "%s::bigint", lock_key("relay")),
    (NAMES, "ingest", "hashtextextended(%s, 0)", "ingest"),
    (CALL_SLOTS, 3, "6450547, %s", 3),
    (KeySpace.of_class(LOCK_CLASS), 7, "32288, %s", 7),
]


def admin(database: Database, statement: str, *values: object) -> list[Any]:
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        return connection.execute(statement.encode(), values).fetchall()


@pytest.mark.parametrize(("space", "key", "arguments", "value"), EARLIER_RELEASE)
def test_a_process_of_the_release_before_and_one_of_this_do_not_hold_one_lock(
    database: Database, space: KeySpace, key: Any, arguments: str, value: object
) -> None:
    tried = f"SELECT pg_try_advisory_lock({arguments})"

    async def scenario() -> None:
        async with aclosing(LockSession(database.app_dsn)) as session:
            with psycopg.connect(database.app_dsn, autocommit=True) as earlier:
                assert earlier.execute(tried.encode(), (value,)).fetchone() == (True,)
                assert await session.acquire(space, [key]) == []
            async with asyncio.timeout(PATIENCE_S):
                while not await session.acquire(space, [key]):  # noqa: ASYNC110 - the server ends the session soon
                    await asyncio.sleep(0.02)
            assert admin(database, tried, value) == [(False,)]
            await session.release(space, [key])
            assert admin(database, tried, value) == [(True,)]

    asyncio.run(scenario())


def test_a_lock_that_fences_a_connection_is_the_one_of_the_release_before(database: Database) -> None:
    tried = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
    with psycopg.connect(database.app_dsn, autocommit=True) as connection:
        assert try_lock(connection, "projection facilities")
        assert admin(database, tried, "projection facilities") == [(False,)]
        assert admin(database, tried, "projection others") == [(True,)]


HELD = """
SELECT pid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY 1
"""


def test_policies_share_a_session_and_lose_it_together(database: Database) -> None:
    async def until_lost(session: LockSession) -> None:
        async with AdvisoryLocks(session).held("relay"):
            ((pid, count),) = admin(database, HELD)
            assert count == 3 + len(ALL_PARTITIONS) + 1  # one more says that this process takes part
            admin(database, "SELECT pg_terminate_backend(%s)", pid)
            await asyncio.Event().wait()

    async def scenario() -> None:
        session = LockSession(database.app_dsn)
        async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
            await stack.enter_async_context(aclosing(session))
            await stack.enter_async_context(PostgresCallSlots(session, 2).held())
            lost = await stack.enter_async_context(PostgresExclusiveLock(session, "ingest").held())
            partitions = PostgresPartitionAssignment(session, ALL_PARTITIONS)
            assert await partitions.assigned() == frozenset(ALL_PARTITIONS)
            with pytest.raises(LockLost):
                await until_lost(session)
            assert not session.holds(NAMES, "ingest")
            assert await partitions.assigned() == frozenset(ALL_PARTITIONS)
            assert not lost.is_set()

    asyncio.run(scenario())


def test_two_holders_of_one_process_do_not_share_a_lock(database: Database) -> None:
    """PostgreSQL would grant its own lock to the session a second time."""

    async def scenario() -> None:
        async with aclosing(LockSession(database.app_dsn)) as session:
            async with PostgresExclusiveLock(session, "ingest").held():
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5), PostgresExclusiveLock(session, "ingest").held():
                        raise AssertionError("two holders at once")
            async with asyncio.timeout(PATIENCE_S), PostgresExclusiveLock(session, "ingest").held():
                pass

    asyncio.run(scenario())


def test_a_caller_that_is_cancelled_leaves_no_lock_behind(database: Database) -> None:
    async def scenario() -> None:
        async with (
            aclosing(LockSession(database.app_dsn)) as session,
            aclosing(LockSession(database.app_dsn)) as other,
        ):
            for pauses in range(12):
                acquiring = asyncio.create_task(session.acquire(NAMES, ["a"]))
                for _ in range(pauses):
                    await asyncio.sleep(0.0002)
                acquiring.cancel()
                await asyncio.gather(acquiring, return_exceptions=True)
                if not acquiring.cancelled():
                    await session.release(NAMES, ["a"])
                async with asyncio.timeout(PATIENCE_S):
                    while not await other.acquire(NAMES, ["a"]):  # noqa: ASYNC110 - released by a task of the session
                        await asyncio.sleep(0.002)
                await other.release(NAMES, ["a"])

    asyncio.run(scenario())


def test_a_holder_gives_up_before_the_server_frees_its_locks() -> None:
    assert session_locks.HEARTBEAT_S + session_locks.ANSWER_WITHIN_S < session_locks.GIVE_UP_S
    assert session_locks.GIVE_UP_S < SERVER_FREES_AFTER_S


def test_a_lock_session_sets_its_own_keepalives(database: Database) -> None:
    """Without them PostgreSQL keeps the locks of a host that vanished for two hours."""

    names = [*(f"tcp_keepalives_{name}" for name in ("idle", "interval", "count")), "tcp_user_timeout"]
    dsn = make_conninfo(database.app_dsn, options="-c search_path=elsewhere")

    async def scenario() -> list[object]:
        async with aclosing(LockSession(dsn)) as session:
            return [(await session.query(f"SHOW {name}"))[0][0] for name in [*names, "search_path"]]

    assert asyncio.run(scenario()) == ["5", "2", "3", f"{SERVER_FREES_AFTER_S * 1000:.0f}", "elsewhere"]


def test_holders_stop_when_the_server_is_silent(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stays open, and a new one gets no answer either, as behind a partition."""
    monkeypatch.setattr(session_locks, "HEARTBEAT_S", 0.5)
    monkeypatch.setattr(session_locks, "ANSWER_WITHIN_S", 3.0)
    monkeypatch.setattr(session_locks, "GIVE_UP_S", 6.0)
    monkeypatch.setattr(exclusive_lock, "_WATCH_EVERY_S", 0.05)

    async def scenario() -> None:
        link = Link(database.app_dsn)
        async with asyncio.timeout(PATIENCE_S), link.opened():
            session = LockSession(link.dsn)
            partitions = PostgresPartitionAssignment(session, ALL_PARTITIONS)
            async with PostgresExclusiveLock(session, "ingest").held() as lost:
                assert await partitions.assigned() == frozenset(ALL_PARTITIONS)
                link.cut_off()
                cut_at = asyncio.get_running_loop().time()
                await lost.wait()
                while await partitions.assigned():
                    pass
            assert asyncio.get_running_loop().time() - cut_at < SERVER_FREES_AFTER_S

    asyncio.run(scenario())


def test_the_release_before_counts_the_locks_of_a_process_of_this_one(database: Database) -> None:
    counted = """
    SELECT split_part(a.application_name, '/', 2), count(*) FILTER (WHERE l.granted)
    FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
    WHERE l.locktype = 'advisory' AND a.datname = current_database() AND starts_with(a.application_name, 'turn ingest ')
        AND a.application_name LIKE '%/%'
    GROUP BY 1
    """

    async def scenario() -> None:
        async with aclosing(exclusive_session(database.app_dsn, "ingest ", holder="w1")) as session:
            async with (
                PostgresExclusiveLock(session, "ingest a").held(),
                PostgresExclusiveLock(session, "ingest b").held(),
            ):
                assert admin(database, counted.replace("%", "%%")) == [("w1", 2)]
            assert await PostgresLockHolders(session, "ingest ").count_by_holder() == {"w1": 0}

    asyncio.run(scenario())
