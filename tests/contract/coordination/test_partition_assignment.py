"""The contract of PartitionAssignment: each partition has one holder, and every process gets a fair share."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from adapters.postgres.coordination.partition_assignment import SESSION, PostgresPartitionAssignment
from adapters.postgres.coordination.session_locks import LockSession
from domain.telemetry.meter_reading import ALL_PARTITIONS
from tests.fakes.coordination.locks import LockBoard
from tests.fakes.coordination.partition_assignment import FakePartitionAssignment

Process = Callable[[], Any]
PATIENCE_S = 60.0
ALL = frozenset(ALL_PARTITIONS)


@pytest.fixture(params=["fake", "postgres"])
def process(request: pytest.FixtureRequest) -> Process:
    """A function that creates the assignment of another process of the same system."""
    if request.param == "fake":
        board = LockBoard()
        return lambda: FakePartitionAssignment(ALL_PARTITIONS, board)
    database = request.getfixturevalue("database")
    return lambda: PostgresPartitionAssignment(LockSession(database.app_dsn, SESSION), ALL_PARTITIONS)


async def until_even(members: list[Any]) -> list[frozenset[int]]:
    """Each member asks in turn, and releases at once what is no longer assigned, until all is assigned evenly."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assigned = []
            for member in members:
                assigned.append(await member.assigned())
                for partition in ALL - assigned[-1]:
                    await member.release(partition)
            sizes = [len(one) for one in assigned]
            assert sum(sizes) == len(frozenset().union(*assigned)), "a partition has two holders"
            if sum(sizes) == len(ALL) and max(sizes) - min(sizes) <= 2:
                return assigned
            await asyncio.sleep(0.01)


def test_a_process_that_comes_gets_its_share_and_leaves_it_when_it_ends(process: Process) -> None:
    async def scenario() -> None:
        members = [process()]
        assert await until_even(members) == [ALL]
        members += [process(), process()]
        await until_even(members)
        for leaver in members[1:]:
            await leaver.aclose()
        assert await until_even(members[:1]) == [ALL]
        await members[0].aclose()

    asyncio.run(scenario())


def test_a_partition_stays_held_until_it_is_released(process: Process) -> None:
    async def scenario() -> None:
        one, other = process(), process()
        assert await one.assigned() == ALL
        assert await other.assigned() == frozenset()
        kept = await one.assigned()
        assert len(ALL) // 2 - 1 <= len(kept) <= (len(ALL) + 1) // 2
        assert await other.assigned() == frozenset()
        for partition in ALL - kept:
            await one.release(partition)
        async with asyncio.timeout(PATIENCE_S):
            while await other.assigned() != ALL - kept:  # noqa: ASYNC110 - another process may get it first
                await asyncio.sleep(0.01)
        await one.aclose()
        await other.aclose()

    asyncio.run(scenario())
