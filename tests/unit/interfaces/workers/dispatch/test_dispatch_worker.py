"""The dispatch worker has one task and one lock per facility. An unexpected error ends it without loss of work."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest

from application.command_bus.bus import TooManyConflicts
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnknownTopic
from application.ports.dispatch.work_queue import BmsTask, BmsWork
from domain.errors import NotAllowedNow
from interfaces.workers.dispatch import dispatch as worker_module
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.fakes.dispatch.work_queue import FakeWorkQueue

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "WAIT_S", 0.02)
    monkeypatch.setattr(worker_module, "TIME_LIMITS", replace(TIME_LIMITS, retry_wall_s=0.01))
    monkeypatch.setattr(worker_module, "REFRESH_S", 0.02)


class Calls:
    """Stands for DispatchExecutor: counts calls, and may be slow or fail."""

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.begun: list[str] = []
        self.done: list[tuple[str, str, int]] = []
        self.inside: Counter[str] = Counter()
        self.most_at_once = 0
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


def worker(
    queue: FakeWorkQueue,
    calls: Calls,
    facilities: list[str],
    locks: Any = None,
    slots: FakeCallSlots | None = None,
) -> DispatchWorker:
    return DispatchWorker(
        source=queue,
        calls=cast("Any", calls),
        slots=slots or FakeCallSlots(),
        locks=locks or FakeLocks(),
        facilities=lambda: list(facilities),
    )


def test_commands_and_verifications_of_a_facility_run_in_order() -> None:
    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(), Calls(), asyncio.Event()
        await publish(queue, work("fac-1", 1), work("fac-1", 2, "verify"), work("fac-2", 3))
        running = asyncio.create_task(worker(queue, calls, ["fac-1", "fac-2"]).run(stop))
        await until(lambda: len(calls.done) == 3)
        stop.set()
        await running
        assert [done for done in calls.done if done[1] == "fac-1"] == [
            ("command", "fac-1", 1),
            ("verify", "fac-1", 2),
        ]
        assert await queue.next_bms("fac-1", wait_s=0) is None

    asyncio.run(scenario())


def test_a_facility_registered_after_the_start_is_served() -> None:
    async def scenario() -> None:
        queue, calls, stop, known = FakeWorkQueue(), Calls(), asyncio.Event(), ["fac-1"]
        running = asyncio.create_task(worker(queue, calls, known).run(stop))
        await publish(queue, work("fac-2", 1))
        await asyncio.sleep(0.05)
        assert calls.done == []
        known.append("fac-2")
        await until(lambda: len(calls.done) == 1)
        stop.set()
        await running

    asyncio.run(scenario())


def test_two_workers_never_call_one_bms_at_the_same_time() -> None:
    """Also if the queue delivers work a second time because the first worker was too slow."""

    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(redelivery_s=0.01), Calls(takes_s=0.05), asyncio.Event()
        held = LockBoard()
        await publish(queue, *(work("fac-1", number) for number in range(1, 5)))
        running = [
            asyncio.create_task(worker(queue, calls, ["fac-1"], FakeLocks(held)).run(stop)) for _ in range(2)
        ]
        await until(lambda: len({done[2] for done in calls.done}) == 4)
        stop.set()
        await asyncio.gather(*running)
        assert calls.most_at_once == 1

    asyncio.run(scenario())


def test_the_lease_of_long_work_is_renewed_and_it_is_not_delivered_again() -> None:
    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(redelivery_s=0.1), Calls(takes_s=0.5), asyncio.Event()
        await publish(queue, work("fac-1", 1))
        running = asyncio.create_task(worker(queue, calls, ["fac-1"]).run(stop))
        await until(lambda: calls.inside["fac-1"] == 1)
        assert await queue.next_bms("fac-1", wait_s=0.3) is None
        await until(lambda: len(calls.done) == 1)
        stop.set()
        await running

    asyncio.run(scenario())


def test_a_worker_waits_while_the_queue_is_down_and_then_continues() -> None:
    async def scenario() -> None:
        queue, calls, stop = FakeWorkQueue(), Calls(), asyncio.Event()
        await publish(queue, work("fac-1", 1))
        queue.is_down = True
        running = asyncio.create_task(worker(queue, calls, ["fac-1"]).run(stop))
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
        running = asyncio.create_task(worker(queue, calls, ["fac-1"]).run(stop))
        await until(lambda: running.done() or len(calls.done) == 1)
        stop.set()
        await running
        assert calls.done == [("command", "fac-1", 1)]

    asyncio.run(scenario())


def test_workers_share_a_burst_of_work_even_if_one_waited_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "GIVE_BACK_FROM", 2)
    queue, facilities = FakeWorkQueue(), [f"fac-{number}" for number in range(20)]
    first, second = Calls(takes_s=0.05), Calls(takes_s=0.05)

    async def scenario() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as running:
            running.create_task(worker(queue, first, facilities).run(stop))
            await asyncio.sleep(0.01)
            running.create_task(worker(queue, second, facilities).run(stop))
            await publish(queue, *(work(facility_id, 1) for facility_id in facilities))
            await until(lambda: len(first.done) + len(second.done) == len(facilities))
            stop.set()

    asyncio.run(scenario())
    done = [facility_id for _, facility_id, _ in first.done + second.done]
    assert sorted(done) == sorted(facilities)
    assert sorted(first.begun + second.begun) == sorted(facilities), (
        "work that was returned to the queue is done once"
    )
    assert min(len(first.done), len(second.done)) >= len(facilities) // 5


def test_a_single_worker_does_all_work_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "GIVE_BACK_FROM", 0)
    queue, calls = FakeWorkQueue(), Calls()

    async def scenario() -> None:
        stop = asyncio.Event()
        await publish(queue, *(work("fac-1", number) for number in range(1, 6)))
        async with asyncio.TaskGroup() as running:
            running.create_task(worker(queue, calls, ["fac-1"]).run(stop))
            await until(lambda: len(calls.done) == 5)
            stop.set()

    asyncio.run(scenario())
    assert [number for _, _, number in calls.done] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("is_deferred", "deliveries"), [(True, 1), (False, 2)])
def test_a_check_counts_as_work_under_way_unless_it_is_deferred(
    monkeypatch: pytest.MonkeyPatch, *, is_deferred: bool, deliveries: int
) -> None:
    """A command that arrives then is given back, or carried out at once."""
    monkeypatch.setattr(worker_module, "GIVE_BACK_FROM", 1)
    queue, slots = FakeWorkQueue(), FakeCallSlots()

    class Checks(Calls):
        async def do(self, work: BmsWork) -> None:
            if work.task == "verify":
                self.begun.append(work.facility_id)
                async with slots.held(urgent=False):
                    await asyncio.sleep(PATIENCE_S)
            await super().do(work)

    async def scenario() -> int:
        calls, stop = Checks(), asyncio.Event()
        await publish(queue, work("fac-1", 1, "verify"))
        running = asyncio.create_task(worker(queue, calls, ["fac-1", "fac-2"], slots=slots).run(stop))
        async with slots.held() if is_deferred else contextlib.nullcontext():
            await until(lambda: calls.begun == ["fac-1"])
            await publish(queue, work("fac-2", 2))
            [command] = queue.waiting["bms fac-2"]
            await until(lambda: len(calls.done) == 1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return command.times

    assert asyncio.run(scenario()) == deliveries


def test_work_that_failed_with_an_unexpected_error_is_delivered_again_by_the_same_worker() -> None:
    async def scenario() -> None:
        queue, calls = FakeWorkQueue(redelivery_s=0.05), Calls()
        calls.fail_next = True
        await publish(queue, work("fac-1", 1))
        stop = asyncio.Event()
        running = asyncio.create_task(worker(queue, calls, ["fac-1"]).run(stop))
        await until(lambda: len(calls.done) == 1)
        stop.set()
        await running

    asyncio.run(scenario())
