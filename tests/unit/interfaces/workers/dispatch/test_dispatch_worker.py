"""The dispatch worker serves partitions: the work of a building in order, and buildings beside each other."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest

from application.command_bus.bus import TooManyConflicts
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnknownTopic
from application.ports.dispatch.work_queue import (
    BMS_PARTITIONS,
    BmsTask,
    BmsWork,
    BmsWorkItem,
    WorkQueueUnavailable,
    bms_partition_of,
)
from domain.errors import NotAllowedNow
from interfaces.workers.dispatch import dispatch as worker_module
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.fakes.coordination.partition_assignment import PARTITION, FakePartitionAssignment
from tests.fakes.dispatch.work_queue import FakeWorkQueue, Message

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "WAIT_S", 0.02)
    monkeypatch.setattr(worker_module, "TIME_LIMITS", replace(TIME_LIMITS, retry_wall_s=0.01))
    monkeypatch.setattr(worker_module, "FORMER_EVERY_S", 0.02)


class Calls:
    """Stands for DispatchExecutor: counts calls, and may be slow or fail."""

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.begun: list[str] = []
        self.done: list[tuple[str, str, int]] = []
        self.inside: Counter[str] = Counter()
        self.most_at_once = 0
        self.held_up: set[str] = set()
        """The facilities whose calls do not end."""
        self.fail_next = False
        self.error: Exception = RuntimeError("a bug")

    async def do(self, work: BmsWork) -> None:
        if self.fail_next:
            self.fail_next = False
            raise self.error
        self.begun.append(work.facility_id)
        self.inside[work.facility_id] += 1
        self.most_at_once = max(self.most_at_once, self.inside[work.facility_id])
        await asyncio.sleep(self.takes_s)
        while work.facility_id in self.held_up:  # noqa: ASYNC110 - the test ends it
            await asyncio.sleep(0.002)
        self.inside[work.facility_id] -= 1
        self.done.append((work.task, work.facility_id, work.command_id.int if work.command_id else 0))


def work(facility_id: str, number: int, task: BmsTask = "command") -> BmsWork:
    return BmsWork(
        task=task,
        dr_event_id=UUID(int=1),
        facility_id=facility_id,
        command_id=UUID(int=number),
        correlation_id=UUID(int=3),
        causation_id=UUID(int=4),
        tenant=None,
        trace_id="0" * 32,
    )


async def publish(queue: FakeWorkQueue, *works: BmsWork) -> None:
    for item in works:
        await queue.publish_bms(item, message_id=f"{item.facility_id}:{item.command_id}")


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not there():  # noqa: ASYNC110 - another task changes the condition
            await asyncio.sleep(0.002)


def worker(queue: FakeWorkQueue, calls: Calls, board: LockBoard | None = None) -> DispatchWorker:
    """Workers on one `board` are of one system."""
    board = board or LockBoard()
    return DispatchWorker(
        source=queue,
        calls=cast("Any", calls),
        locks=FakeLocks(board),
        shares=FakePartitionAssignment(BMS_PARTITIONS, board),
    )


def test_commands_and_verifications_of_a_facility_run_in_order() -> None:
    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(), Calls(), asyncio.Event()
        await publish(queue, work("fac-1", 1), work("fac-1", 2, "verify"), work("fac-2", 3))
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await until(lambda: len(calls.done) == 3)
        stop.set()
        await running
        assert [done for done in calls.done if done[1] == "fac-1"] == [
            ("command", "fac-1", 1),
            ("verify", "fac-1", 2),
        ]
        assert queue.waiting["bms fac-1"] == []

    asyncio.run(scenario())


def test_two_workers_never_call_one_bms_at_the_same_time() -> None:
    """Also if the queue delivers work a second time because the first worker was too slow."""

    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(redelivery_s=0.01), Calls(takes_s=0.05), asyncio.Event()
        held = LockBoard()
        await publish(queue, *(work("fac-1", number) for number in range(1, 5)))
        running = [asyncio.create_task(worker(queue, calls, held).run(stop)) for _ in range(2)]
        await until(lambda: len({done[2] for done in calls.done}) == 4)
        stop.set()
        await asyncio.gather(*running)
        assert calls.most_at_once == 1

    asyncio.run(scenario())


def test_the_lease_of_long_work_is_renewed_and_it_is_not_delivered_again() -> None:
    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(redelivery_s=0.1), Calls(takes_s=0.5), asyncio.Event()
        await publish(queue, work("fac-1", 1))
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await until(lambda: calls.inside["fac-1"] == 1)
        assert await queue.next_bms(bms_partition_of("fac-1"), wait_s=0.3) == []
        await until(lambda: len(calls.done) == 1)
        stop.set()
        await running

    asyncio.run(scenario())


def test_a_worker_waits_while_the_queue_is_down_and_then_continues() -> None:
    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(), Calls(), asyncio.Event()
        await publish(queue, work("fac-1", 1))
        queue.is_down = True
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await asyncio.sleep(0.05)
        assert not running.done()
        queue.is_down = False
        await until(lambda: len(calls.done) == 1)
        stop.set()
        await running

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error",
    [
        UnknownTopic("a newer release wrote it"),
        NotAllowedNow("the command is already succeeded"),
        TooManyConflicts("AttemptBmsCommands lost 12 races"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_work_with_a_temporary_error_is_redelivered_and_not_parked(error: Exception) -> None:
    """For example, workers of two releases run, or another worker recorded an outcome late."""

    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(redelivery_s=0.05), Calls(), asyncio.Event()
        calls.fail_next, calls.error = True, error
        await publish(queue, work("fac-1", 1))
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await until(lambda: running.done() or len(calls.done) == 1)
        stop.set()
        await running
        assert calls.done == [("command", "fac-1", 1)]

    asyncio.run(scenario())


def test_two_workers_share_the_buildings() -> None:
    queue, facilities, board = FakeWorkQueue(), [f"fac-{number}" for number in range(40)], LockBoard()
    first, second = Calls(takes_s=0.01), Calls(takes_s=0.01)

    async def scenario() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as running:
            running.create_task(worker(queue, first, board).run(stop))
            await until(
                lambda: sum(name.startswith(PARTITION) for name in board.held_by) == len(BMS_PARTITIONS)
            )
            running.create_task(worker(queue, second, board).run(stop))
            await until(lambda: holders(board) == [len(BMS_PARTITIONS) // 2] * 2)
            await publish(queue, *(work(facility_id, 1) for facility_id in facilities))
            await until(lambda: len(first.done) + len(second.done) == len(facilities))
            stop.set()

    asyncio.run(scenario())
    done = [facility_id for _, facility_id, _ in first.done + second.done]
    assert sorted(done) == sorted(facilities)
    assert min(len(first.done), len(second.done)) >= len(facilities) // 5


def holders(board: LockBoard) -> list[int]:
    """How many partitions each worker holds."""
    held = Counter(id(hold.process) for name, hold in board.held_by.items() if name.startswith(PARTITION))
    return list(held.values())


def test_a_slow_building_delays_no_other_of_its_partition() -> None:
    """Its work waits behind it, and that of the others is done, however much that is."""
    queue, calls = FakeWorkQueue(), Calls()
    slow, quick = two_of_one_partition()
    calls.held_up.add(slow)

    async def scenario() -> None:
        stop = asyncio.Event()
        await publish(queue, *(work(slow, number) for number in range(1, 6)), work(quick, 1))
        async with asyncio.TaskGroup() as running:
            running.create_task(worker(queue, calls).run(stop))
            await until(lambda: calls.done == [("command", quick, 1)])
            await publish(queue, *(work(quick, number) for number in range(2, 6)))
            await until(lambda: len(calls.done) == 5)
            assert calls.begun.count(slow) == 1
            calls.held_up.clear()
            await until(lambda: len(calls.done) == 10)
            stop.set()

    asyncio.run(scenario())
    assert [number for _, facility_id, number in calls.done if facility_id == slow] == [1, 2, 3, 4, 5]


def two_of_one_partition() -> tuple[str, str]:
    first = "fac-1"
    numbers = range(2, 10_000)
    return first, next(f"fac-{n}" for n in numbers if bms_partition_of(f"fac-{n}") == bms_partition_of(first))


def test_work_under_way_goes_on_while_its_partition_moves_and_is_not_done_again_beside_it() -> None:
    """The next worker gets it too, waits for the lock, and finds its outcome recorded."""
    queue, board, leaving = FakeWorkQueue(), LockBoard(), Leaving()
    first, second = Calls(), Calls()
    first.held_up.add("fac-1")

    async def scenario() -> None:
        stop = asyncio.Event()
        await publish(queue, work("fac-1", 1), work("fac-1", 2))
        async with asyncio.TaskGroup() as running:
            one = worker(queue, first, board)
            leaving.shares, one.shares = one.shares, cast("Any", leaving)
            running.create_task(one.run(stop))
            await until(lambda: first.begun == ["fac-1"])
            leaving.left = True
            other = worker(queue, second, board)
            running.create_task(other.run(stop))
            partition = f"{PARTITION}{bms_partition_of('fac-1')}"
            await until(
                lambda: partition in board.held_by and board.held_by[partition].process is other.shares
            )
            await asyncio.sleep(0.05)
            assert second.begun == []
            first.held_up.clear()
            await until(lambda: len(second.done) == 2)
            stop.set()

    asyncio.run(scenario())
    assert [number for _, _, number in first.done] == [1]
    assert [number for _, _, number in second.done] == [1, 2]
    assert queue.waiting["bms fac-1"] == []


class Leaving:
    """Once it `left`, no partition is assigned to this process."""

    def __init__(self) -> None:
        self.left = False
        self.shares: Any = None

    async def assigned(self) -> frozenset[int]:
        if not self.left:
            return cast("frozenset[int]", await self.shares.assigned())
        return frozenset()

    async def release(self, partition: int) -> None:
        await self.shares.release(partition)
        if not any(name.startswith(PARTITION) for name in self.shares._board.held_by):
            await self.shares.aclose()  # it takes part no more

    async def aclose(self) -> None:
        return


def test_a_building_waits_for_its_work_of_an_earlier_release() -> None:
    """Work that an earlier release published before is done first, by whichever worker."""

    class WithFormerWork(FakeWorkQueue):
        is_next = False

        async def is_next_bms(self, item: BmsWorkItem) -> bool:
            return self.is_next or item.facility_id != "fac-1"

    async def scenario() -> None:
        queue, calls, stop = WithFormerWork(), Calls(), asyncio.Event()
        await publish(queue, work("fac-1", 1), work("fac-2", 1))
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await until(lambda: len(calls.done) == 1)
        await asyncio.sleep(0.05)
        assert calls.begun == ["fac-2"]
        queue.is_next = True
        await until(lambda: len(calls.done) == 2)
        stop.set()
        await running

    asyncio.run(scenario())


def test_work_is_acknowledged_by_its_newest_delivery() -> None:
    """A broker that was restarted delivers again, and confirms no acknowledgement of the first delivery."""

    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(), Calls(), asyncio.Event()
        calls.held_up.add("fac-1")
        await publish(queue, work("fac-1", 1))
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await until(lambda: calls.begun == ["fac-1"])
        [message] = queue.waiting["bms fac-1"]
        await queue.take_over_bms(bms_partition_of("fac-1"))  # everything is delivered again
        await until(lambda: message.times == 2)
        calls.held_up.clear()
        await until(lambda: queue.waiting["bms fac-1"] == [])
        assert len(calls.done) == 1
        stop.set()
        await running

    asyncio.run(scenario())


def test_work_that_is_done_is_not_repeated_while_nobody_confirms_its_acknowledgement() -> None:
    """A broker that was restarted has removed it, and has a consumer that never delivered it."""

    class Unconfirmed(FakeWorkQueue):
        def forget(self, message: Message) -> None:
            super().forget(message)
            if message.sequence == 1:
                raise WorkQueueUnavailable("not confirmed")

    async def scenario() -> None:
        queue, calls, stop = Unconfirmed(), Calls(), asyncio.Event()
        await publish(queue, work("fac-1", 1, "reconcile"), work("fac-1", 2))
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await until(lambda: len(calls.done) >= 2)
        stop.set()
        await running
        assert calls.done == [("reconcile", "fac-1", 1), ("command", "fac-1", 2)]

    asyncio.run(scenario())


def test_a_single_worker_does_all_work_in_order() -> None:
    queue, calls = FakeWorkQueue(), Calls()

    async def scenario() -> None:
        stop = asyncio.Event()
        await publish(queue, *(work("fac-1", number) for number in range(1, 6)))
        async with asyncio.TaskGroup() as running:
            running.create_task(worker(queue, calls).run(stop))
            await until(lambda: len(calls.done) == 5)
            stop.set()

    asyncio.run(scenario())
    assert [number for _, _, number in calls.done] == [1, 2, 3, 4, 5]


def test_work_that_failed_with_an_unexpected_error_is_delivered_again_by_the_same_worker() -> None:
    async def scenario() -> None:
        queue, calls = FakeWorkQueue(redelivery_s=0.05), Calls()
        calls.fail_next = True
        await publish(queue, work("fac-1", 1))
        stop = asyncio.Event()
        running = asyncio.create_task(worker(queue, calls).run(stop))
        await until(lambda: len(calls.done) == 1)
        stop.set()
        await running

    asyncio.run(scenario())
