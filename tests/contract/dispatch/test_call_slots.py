"""The contract of CallSlots: never more holders than slots, no starvation, and urgent calls first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from adapters.postgres.coordination.call_slots import PostgresCallSlots
from adapters.postgres.coordination.session_locks import LockSession
from application.ports.dispatch.call_slots import CallSlots
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.servers import Database

Opened = Callable[[int], CallSlots]
PATIENCE_S = 60.0


@pytest.fixture(params=["fake", "postgres"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """A function that opens the slots under test."""
    if request.param == "fake":
        return FakeCallSlots
    database: Database = request.getfixturevalue("database")
    return lambda number: PostgresCallSlots(LockSession(database.app_dsn), number)


@contextlib.asynccontextmanager
async def closing(*opened_slots: CallSlots) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    finally:
        for slots in opened_slots:
            await slots.aclose()


class Counted:
    """The current number of holders, and its maximum."""

    def __init__(self) -> None:
        self.inside, self.most, self.served = 0, 0, 0

    async def hold(self, slots: CallSlots) -> None:
        async with slots.held():
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(0.002)
            self.inside -= 1
            self.served += 1


def test_holders_never_exceed_the_slots_and_every_caller_is_served(opened: Opened) -> None:
    async def scenario() -> None:
        slots, counted = opened(3), Counted()
        async with closing(slots):
            await asyncio.gather(*(counted.hold(slots) for _ in range(60)))
        assert (counted.most, counted.served) == (3, 60)

    asyncio.run(scenario())


def test_a_cancelled_caller_takes_no_slot(opened: Opened) -> None:
    async def scenario() -> None:
        slots, counted = opened(1), Counted()
        async with closing(slots):
            async with slots.held():
                waiting = [asyncio.create_task(counted.hold(slots)) for _ in range(5)]
                await asyncio.sleep(0.05)
                for task in waiting[:4]:
                    task.cancel()
            await waiting[4]
            await counted.hold(slots)
        assert (counted.most, counted.served) == (1, 2)

    asyncio.run(scenario())


def test_a_failing_holder_releases_its_slot(opened: Opened) -> None:
    async def scenario() -> None:
        slots, counted = opened(1), Counted()
        async with closing(slots):
            for _ in range(3):
                with pytest.raises(RuntimeError, match="inside"):
                    async with slots.held():
                        raise RuntimeError("inside")
            await counted.hold(slots)
        assert counted.served == 1

    asyncio.run(scenario())


def test_the_slots_are_shared_by_all_processes(database: Database) -> None:
    async def scenario() -> None:
        both, counted = [PostgresCallSlots(LockSession(database.app_dsn), 4) for _ in range(2)], Counted()
        async with closing(*both):
            for _ in range(5):
                await asyncio.gather(*(counted.hold(both[number % 2]) for number in range(60)))
        assert (counted.most, counted.served) == (4, 300)

    asyncio.run(scenario())


def test_the_slots_of_an_ended_process_are_released(database: Database) -> None:
    async def scenario() -> None:
        dying, living = (
            PostgresCallSlots(LockSession(database.app_dsn), 1),
            PostgresCallSlots(LockSession(database.app_dsn), 1),
        )
        counted = Counted()
        async with closing(living), dying.held():
            waiting = asyncio.create_task(counted.hold(living))
            await asyncio.sleep(0.1)
            assert counted.served == 0
            await dying.aclose()
            await waiting
        assert counted.served == 1

    asyncio.run(scenario())


def test_the_urgent_callers_of_a_process_are_served_first(opened: Opened) -> None:
    async def scenario() -> None:
        slots = opened(1)
        order: list[str] = []

        async def hold(name: str, *, urgent: bool) -> None:
            async with slots.held(urgent=urgent):
                order.append(name)

        async with closing(slots):
            async with slots.held():
                polls = [asyncio.create_task(hold("poll", urgent=False)) for _ in range(2)]
                await asyncio.sleep(0)
                commands = [asyncio.create_task(hold("command", urgent=True)) for _ in range(2)]
                await asyncio.sleep(0)
            await asyncio.gather(*polls, *commands)
        assert order == ["command", "command", "poll", "poll"]

    asyncio.run(scenario())


def test_continuing_callers_are_served_before_new_ones(opened: Opened) -> None:
    async def scenario() -> None:
        slots = opened(1)
        order: list[str] = []

        async def hold(name: str, *, continues: bool) -> None:
            async with slots.held(continues=continues):
                order.append(name)

        async with closing(slots):
            async with slots.held():
                first = [asyncio.create_task(hold("first zone", continues=False)) for _ in range(2)]
                await asyncio.sleep(0)
                following = [asyncio.create_task(hold("next zone", continues=True)) for _ in range(2)]
                await asyncio.sleep(0)
            await asyncio.gather(*first, *following)
        assert order == ["next zone", "next zone", "first zone", "first zone"]

    asyncio.run(scenario())
