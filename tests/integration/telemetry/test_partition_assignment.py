"""The assignment of partitions to workers is even and exclusive, and changes when a worker dies."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

from adapters.postgres.coordination import session_locks
from adapters.postgres.coordination.partition_assignment import (
    LOCK_CLASS,
    SESSION,
    PostgresPartitionAssignment,
)
from adapters.postgres.coordination.session_locks import LockSession
from domain.telemetry.meter_reading import ALL_PARTITIONS
from interfaces.workers.loops.partition_runner import run_assigned_partitions
from tests.integration.telemetry.conftest import AFTER_A_KILL_S, TelemetryPath, eventually
from tests.integration.telemetry.test_log_to_store import (
    FACILITIES,
    all_done,
    assert_exact,
    publish_all,
    start_worker,
)
from tests.patience import ANSWER_S
from tests.servers import Database

HELD = """
SELECT l.pid, l.objid FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %s AND l.mode = 'ExclusiveLock'
    AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def assignment(database: Database) -> PostgresPartitionAssignment:
    """That of another process."""
    return PostgresPartitionAssignment(LockSession(database.app_dsn, SESSION), ALL_PARTITIONS)


async def rounds(members: list[PostgresPartitionAssignment], count: int = 8) -> list[frozenset[int]]:
    """Each member renews `count` times in turn and returns requested partitions at once."""
    assigned: list[frozenset[int]] = []
    for _ in range(count):
        assigned = []
        for member in members:
            kept = await member.assigned()
            for partition in set(ALL_PARTITIONS) - kept:
                await member.release(partition)
            assigned.append(kept)
        all_held = [partition for one in assigned for partition in one]
        assert len(all_held) == len(set(all_held))
    return assigned


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 9, 11])
def test_partitions_are_assigned_once_and_evenly(database: Database, workers: int) -> None:
    async def scenario() -> None:
        members = [assignment(database) for _ in range(workers)]
        sizes = [len(one) for one in await rounds(members)]
        assert sum(sizes) == len(ALL_PARTITIONS)
        assert max(sizes) - min(sizes) <= 1
        for leaver in members[1:]:
            await leaver.aclose()
        async with asyncio.timeout(ANSWER_S):  # the server ends a session shortly after its client
            while await rounds(members[:1], 1) != [frozenset(ALL_PARTITIONS)]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await members[0].aclose()

    asyncio.run(scenario())


def test_a_hanging_member_does_not_keep_partitions_from_the_others(database: Database) -> None:
    async def scenario() -> None:
        silent, one, other = (assignment(database) for _ in range(3))
        await rounds([one, other])
        await silent.assigned()  # joins but takes no partition, because all are assigned
        async with asyncio.timeout(ANSWER_S):
            while sum(map(len, await rounds([one, other], 1))) < len(ALL_PARTITIONS):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for _ in range(10):
            held = await rounds([one, other], 1)
            assert sum(len(some) for some in held) == len(ALL_PARTITIONS)
        for member in (silent, one, other):
            await member.aclose()

    asyncio.run(scenario())


def end_sessions(database: Database, *, only_holders: bool = False, connection_limit: int = -1) -> None:
    holders = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock')"
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT {connection_limit}'.encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND application_name LIKE 'gridproof partitions %' AND {holders if only_holders else 'true'}".encode()
        )


def test_partitions_stay_assigned_during_an_outage_for_a_limited_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        one = assignment(database)
        assert await one.assigned() == frozenset(ALL_PARTITIONS)
        end_sessions(database)
        assert await one.assigned() == frozenset(ALL_PARTITIONS)
        end_sessions(database, connection_limit=0)
        assert await one.assigned() == frozenset(ALL_PARTITIONS)
        monkeypatch.setattr(session_locks, "GIVE_UP_S", 0.0)
        assert await one.assigned() == frozenset()
        end_sessions(database)
        assert await one.assigned() == frozenset(ALL_PARTITIONS)
        await one.aclose()

    asyncio.run(scenario())


def test_after_an_outage_each_worker_gets_its_partitions_back(database: Database) -> None:
    async def scenario() -> None:
        members = [assignment(database) for _ in range(2)]
        before = await rounds(members)
        for order in (members, members[::-1]):
            end_sessions(database)
            after = {member: await member.assigned() for member in order}
            assert [after[member] for member in members] == before
        for member in members:
            await member.aclose()

    asyncio.run(scenario())


def test_a_worker_that_loses_its_session_loses_partitions_that_others_took(database: Database) -> None:
    async def scenario() -> None:
        one, other = (assignment(database) for _ in range(2))
        assert await one.assigned() == frozenset(ALL_PARTITIONS)
        assert await other.assigned() == frozenset()
        end_sessions(database, only_holders=True)
        assert await other.assigned() == frozenset(ALL_PARTITIONS)
        assert await one.assigned() == frozenset()
        await one.aclose()
        await other.aclose()

    asyncio.run(scenario())


def test_work_ends_before_its_partition_is_released(database: Database) -> None:
    """Two workers in one process start and stop, and never work on the same partition at a time."""
    working: Counter[int] = Counter()
    seen: set[int] = set()

    def work(name: str) -> Callable[[int, asyncio.Event], Coroutine[Any, Any, None]]:
        async def on(partition: int, ended: asyncio.Event) -> None:
            working[partition] += 1
            assert working[partition] == 1, f"{name}: another worker works on {partition}"
            seen.add(partition)
            await ended.wait()
            await asyncio.sleep(0.02)
            working[partition] -= 1

        return on

    async def scenario() -> None:
        first_stop, second_stop = asyncio.Event(), asyncio.Event()
        shares = [assignment(database) for _ in range(2)]
        first = asyncio.create_task(
            run_assigned_partitions(shares[0], work("first"), first_stop, ask_every_s=0.02)
        )
        await eventually(lambda: len(seen) == len(ALL_PARTITIONS))
        second = asyncio.create_task(
            run_assigned_partitions(shares[1], work("second"), second_stop, ask_every_s=0.02)
        )
        await eventually(lambda: len(shares[1]._held) >= len(ALL_PARTITIONS) // 2)
        first_stop.set()
        await first
        await eventually(lambda: sum(working.values()) == len(ALL_PARTITIONS))
        second_stop.set()
        await second

    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))
    assert set(working.values()) == {0}


def test_a_failure_on_one_partition_ends_the_worker(database: Database) -> None:
    async def fails(partition: int, ended: asyncio.Event) -> None:
        if partition == 3:
            raise RuntimeError("a mistake in the program")
        await ended.wait()

    shares = assignment(database)
    with pytest.raises(RuntimeError, match="a mistake"):
        asyncio.run(run_assigned_partitions(shares, fails, asyncio.Event()))


def test_after_a_failure_all_partitions_are_released_once_other_work_has_ended(
    database: Database,
) -> None:
    ended_on: set[int] = set()
    started: set[int] = set()

    async def one_fails(partition: int, ended: asyncio.Event) -> None:
        started.add(partition)
        if partition == ALL_PARTITIONS[0]:
            await eventually(lambda: len(started) == len(ALL_PARTITIONS))
            raise RuntimeError("a mistake in the program")
        await ended.wait()
        await asyncio.sleep(0.02)
        ended_on.add(partition)

    async def scenario() -> None:
        shares = assignment(database)
        with pytest.raises(RuntimeError, match="a mistake"):
            await run_assigned_partitions(shares, one_fails, asyncio.Event(), ask_every_s=0.02)
        assert ended_on == set(ALL_PARTITIONS[1:])
        assert await assignment(database).assigned() == set(ALL_PARTITIONS)

    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))


def holders(path: TelemetryPath) -> dict[int, set[int]]:
    with psycopg.connect(path.database.app_dsn) as conn:
        found: dict[int, set[int]] = {}
        for pid, partition in conn.execute(HELD, (LOCK_CLASS,)):
            found.setdefault(pid, set()).add(partition)
    return found


def test_the_partitions_of_a_killed_worker_are_taken_over(path: TelemetryPath) -> None:
    """Two processes share the log. One is killed during its work, and the other finishes it."""
    workers: list[subprocess.Popen[bytes]] = []

    async def scenario() -> None:
        async with path.stream(again_after_s=AFTER_A_KILL_S) as stream:
            workers.extend([await asyncio.to_thread(start_worker, path) for _ in range(2)])
            await eventually(lambda: sorted(len(held) for held in holders(path).values()) == [4, 5])
            count = await publish_all(stream, size=1)
            await eventually(lambda: path.count("meter_readings") > 0)
            workers[0].kill()
            workers[0].wait()
            await eventually(lambda: [len(held) for held in holders(path).values()] == [9])
            await all_done(stream)
            assert count == 240 * len(FACILITIES)

    try:
        asyncio.run(scenario())
        assert_exact(path)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
