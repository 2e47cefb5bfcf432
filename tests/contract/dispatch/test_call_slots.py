"""The contract of CallSlots: never more holders than slots, no starvation, and urgent calls first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from adapters.postgres.coordination.call_slots import PostgresCallSlots
from adapters.postgres.coordination.session_locks import LockSession
from application.ports.dispatch.call_slots import CallSlots
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.servers import Database

PATIENCE_S = 60.0


class Opened(Protocol):
    """Opens the slots under test."""

    def __call__(self, number: int, *, check_wait_s: float = PATIENCE_S) -> CallSlots: ...


@pytest.fixture(params=["fake", "postgres"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """A function that opens the slots under test."""
    if request.param == "fake":
        return FakeCallSlots
    database: Database = request.getfixturevalue("database")
    return lambda number, **options: PostgresCallSlots(LockSession(database.app_dsn), number, **options)


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


@pytest.mark.parametrize("continues", [False, True])
def test_the_urgent_callers_of_a_process_are_served_first(opened: Opened, *, continues: bool) -> None:
    async def scenario() -> None:
        slots = opened(1)
        order: list[str] = []

        async def hold(name: str, *, urgent: bool) -> None:
            async with slots.held(urgent=urgent, continues=continues):
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


class Checks:
    """Callers that are not urgent, and the order in which they got a slot."""

    def __init__(self, slots: CallSlots) -> None:
        self.slots = slots
        self.served: list[str] = []

    async def begin(self, *names: str, continues: bool = False) -> list[asyncio.Task[None]]:
        """Start a check of each name, in this order, and let each ask for its slot."""
        tasks = [asyncio.create_task(self._check(name, continues=continues)) for name in names]
        await asyncio.sleep(0)
        return tasks

    async def _check(self, name: str, *, continues: bool) -> None:
        async with self.slots.held(urgent=False, continues=continues):
            self.served.append(name)


def test_checks_take_no_free_slot_while_a_command_holds_one(opened: Opened) -> None:
    async def scenario() -> None:
        slots = opened(3)
        checks = Checks(slots)
        async with closing(slots):
            async with slots.held():
                async with slots.held():
                    begun = await checks.begin("first", "second")
                await asyncio.sleep(0.05)
                assert checks.served == [], "one command is over, the other is not"
            await asyncio.gather(*begun)
        assert checks.served == ["first", "second"]

    asyncio.run(scenario())


def test_a_check_is_deferred_by_a_command_that_waits_for_a_slot(opened: Opened) -> None:
    async def scenario() -> None:
        slots = opened(1)
        checks = Checks(slots)

        async def command() -> None:
            async with slots.held():
                assert checks.served == []

        async with closing(slots):
            async with slots.held(urgent=False):
                commanding = asyncio.create_task(command())
                await asyncio.sleep(0)
                begun = await checks.begin("check")
            await asyncio.gather(commanding, *begun)
        assert checks.served == ["check"]

    asyncio.run(scenario())


def test_a_command_that_hangs_defers_checks_only_for_a_limited_time(opened: Opened) -> None:
    async def scenario() -> None:
        slots = opened(2, check_wait_s=0.05)
        checks = Checks(slots)
        async with closing(slots), slots.held():
            await asyncio.gather(*await checks.begin("first", "second"))
        assert sorted(checks.served) == ["first", "second"]

    asyncio.run(scenario())


def test_a_check_that_continues_is_not_deferred_again(opened: Opened) -> None:
    async def scenario() -> None:
        slots = opened(2)
        checks = Checks(slots)
        async with closing(slots), slots.held():
            await asyncio.gather(*await checks.begin("next zone", continues=True))
        assert checks.served == ["next zone"]

    asyncio.run(scenario())


def test_a_deferred_check_that_is_cancelled_delays_nobody(opened: Opened) -> None:
    async def scenario() -> None:
        slots = opened(1)
        checks = Checks(slots)
        async with closing(slots):
            async with slots.held():
                cancelled, *others = await checks.begin("cancelled", "second", "third")
                cancelled.cancel()
                await asyncio.gather(cancelled, return_exceptions=True)
                await asyncio.sleep(0.05)
                assert checks.served == [], "the command is not over"
            await asyncio.gather(*others)
        assert checks.served == ["second", "third"]

    asyncio.run(scenario())


@pytest.mark.parametrize("ending", ["fails", "is cancelled", "is cancelled before it has a slot"])
def test_a_command_that_ends_in_any_way_defers_no_further_check(opened: Opened, ending: str) -> None:
    async def scenario() -> None:
        slots = opened(2)
        checks, holds = Checks(slots), asyncio.Event()

        async def command() -> None:
            async with slots.held():
                holds.set()
                await asyncio.sleep(0 if ending == "fails" else PATIENCE_S)
                raise RuntimeError("inside")

        async with closing(slots):
            commanding = asyncio.create_task(command())
            if ending == "is cancelled before it has a slot":
                await asyncio.sleep(0)
            else:
                await holds.wait()
            begun = await checks.begin("check")
            if ending != "fails":
                commanding.cancel()
            await asyncio.gather(commanding, return_exceptions=True)
            await asyncio.gather(*begun)
        assert checks.served == ["check"]

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
