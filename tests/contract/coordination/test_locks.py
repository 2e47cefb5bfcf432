"""The contract of Locks: one holder across processes, and none once it is dead."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession, lock_key
from application.ports.coordination.locks import LockLost
from tests.fakes.coordination.locks import FakeLocks, LockBoard

Process = Callable[[], Any]
PATIENCE_S = 20.0


@pytest.fixture(params=["fake", "postgres"])
def process(request: pytest.FixtureRequest) -> Process:
    """A function that creates the locks of another process of the same system."""
    if request.param == "fake":
        shared = LockBoard()
        return lambda: FakeLocks(shared)
    database = request.getfixturevalue("database")
    return lambda: AdvisoryLocks(LockSession(database.app_dsn))


async def at_once(locks: list[Any], name: str, visits: int) -> int:
    """The largest number of tasks inside `name` at the same time."""
    inside, most = 0, 0

    async def visit(mine: Any) -> None:
        nonlocal inside, most
        async with mine.held(name):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.002)
            inside -= 1

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(visit(mine) for mine in locks for _ in range(visits)))
    return most


def test_one_of_many_tasks_and_processes_holds_the_lock(process: Process) -> None:
    async def scenario() -> int:
        locks = [process(), process(), process()]
        most = await at_once(locks, "bms:fac-001", 4)
        for mine in locks:
            await mine.aclose()
        return most

    assert asyncio.run(scenario()) == 1


def test_different_names_do_not_wait_for_each_other(process: Process) -> None:
    async def scenario() -> None:
        mine, other = process(), process()
        async with asyncio.timeout(PATIENCE_S), mine.held("a"), mine.held("b"), other.held("c"):
            pass
        await mine.aclose()
        await other.aclose()

    asyncio.run(scenario())


def test_a_lock_is_free_after_its_block_also_after_an_error(process: Process) -> None:
    async def scenario() -> None:
        mine, other = process(), process()
        with pytest.raises(ZeroDivisionError):
            async with mine.held("a"):
                raise ZeroDivisionError
        async with asyncio.timeout(PATIENCE_S), other.held("a"):
            pass
        async with asyncio.timeout(PATIENCE_S), mine.held("a"):
            pass
        await mine.aclose()
        await other.aclose()

    asyncio.run(scenario())


def test_the_while_waiting_callback_is_called_at_each_attempt(process: Process) -> None:
    async def scenario() -> None:
        mine, other = process(), process()
        tries = asyncio.Event()
        async with mine.held("a"):
            waiting = asyncio.create_task(_enter(other, "a", tries.set))
            async with asyncio.timeout(PATIENCE_S):
                await tries.wait()
            assert not waiting.done()
        async with asyncio.timeout(PATIENCE_S):
            await waiting
        await mine.aclose()
        await other.aclose()

    asyncio.run(scenario())


async def _enter(locks: Any, name: str, told: Callable[[], object]) -> None:
    async with locks.held(name, while_waiting=told):
        pass


def test_a_dead_process_holds_no_lock(process: Process) -> None:
    async def scenario() -> None:
        dying, heir = process(), process()
        inside = asyncio.Event()
        holder = asyncio.create_task(_hold_for_ever(dying, inside))
        async with asyncio.timeout(PATIENCE_S):
            await inside.wait()
            await dying.aclose()  # its connection is closed without notice to its task
            async with heir.held("a"):
                pass
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        await heir.aclose()
        await dying.aclose()

    asyncio.run(scenario())


async def _hold_for_ever(locks: Any, inside: asyncio.Event) -> None:
    async with locks.held("a"):
        inside.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("kind", ["fake", "postgres"])
def test_a_holder_that_lost_its_lock_is_stopped_and_may_take_it_again(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """A holder in the fault simulation behaves like the fake, but may detect the loss later: the worst case."""

    async def scenario() -> None:
        mine: Any = (
            FakeLocks()
            if kind == "fake"
            else AdvisoryLocks(LockSession(request.getfixturevalue("database").app_dsn))
        )
        inside = asyncio.Event()
        holder = asyncio.create_task(_hold_for_ever(mine, inside))
        async with asyncio.timeout(PATIENCE_S):
            await inside.wait()
            await mine.aclose()
            with pytest.raises(LockLost):
                await holder
            async with mine.held("a"):
                pass
        await mine.aclose()

    asyncio.run(scenario())


def test_a_time_out_inside_the_block_is_not_a_lost_lock(process: Process) -> None:
    async def scenario() -> None:
        mine = process()
        with pytest.raises(TimeoutError):
            async with mine.held("a"):
                raise TimeoutError
        await mine.aclose()

    asyncio.run(scenario())


def test_the_key_of_a_name_is_the_same_in_every_release() -> None:
    """Two releases run side by side during an upgrade."""
    assert lock_key("relay") == 1104270772047196464
    assert lock_key("bms:fac-001") == -2431402053847441406


def test_a_cancelled_wait_leaves_the_lock_to_others(process: Process) -> None:
    """This includes an answer that arrives at the moment of cancellation."""

    async def scenario() -> None:
        mine, other = process(), process()
        async with asyncio.timeout(PATIENCE_S):
            for pauses in range(12):
                waiting = [asyncio.create_task(_enter(mine, name, lambda: None)) for name in "abc"]
                for _ in range(pauses):
                    await asyncio.sleep(0.0002)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                for name in "abc":
                    async with other.held(name):
                        pass
        await mine.aclose()
        await other.aclose()

    asyncio.run(scenario())
