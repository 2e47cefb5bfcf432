"""The contract of the work queue: accepts a message once, and delivers it in order until it is done."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from uuid import UUID, uuid4

import msgspec
import pytest

from adapters.nats import work_queue
from adapters.nats.work_queue import NatsWorkQueue
from application.ports.dispatch.work_queue import (
    BmsSource,
    BmsWork,
    BmsWorkItem,
    CallbackSource,
    CallbackWork,
    WorkPublisher,
    WorkQueueUnavailable,
    bms_partition_of,
)
from tests.bms_reader import BmsReader
from tests.fakes.dispatch.work_queue import FakeWorkQueue

REDELIVERY_S = 1.0
SOON_S = 0.3
LONG_S = 15.0


class Queue(WorkPublisher, BmsSource, CallbackSource, Protocol):
    """Both ends of the queue."""


Connect = Callable[[], Awaitable[Any]]


@pytest.fixture(params=["fake", "nats"])
def system(request: pytest.FixtureRequest) -> Any:
    """`async with system() as connect`: each `await connect()` is another process's connection to one queue."""
    if request.param == "fake":

        @asynccontextmanager
        async def in_memory() -> AsyncIterator[Connect]:
            queue = FakeWorkQueue(redelivery_s=REDELIVERY_S)

            async def connect() -> Any:
                return queue

            yield connect

        return in_memory
    url = request.getfixturevalue("nats_url")

    @asynccontextmanager
    async def on_nats() -> AsyncIterator[Connect]:
        opened: list[NatsWorkQueue] = []

        async def connect() -> NatsWorkQueue:
            opened.append(await NatsWorkQueue.connect(url, redelivery_s=REDELIVERY_S, name="test"))
            return opened[-1]

        yield connect
        for queue in opened:
            await queue.aclose()

    return on_nats


def facility() -> str:
    """A facility used only by this test, because the queue of the session outlives the test."""
    return f"fac-{uuid4().hex[:12]}"


def work(facility_id: str, number: int = 1) -> BmsWork:
    return BmsWork(
        task="command",
        dr_event_id=UUID(int=1),
        facility_id=facility_id,
        command_id=UUID(int=number),
        correlation_id=UUID(int=3),
        causation_id=UUID(int=4),
        tenant="util-1",
        trace_id="0" * 32,
    )


async def next_number(
    reader: BmsReader, facility_id: str, *, wait_s: float = LONG_S
) -> tuple[int, BmsWorkItem]:
    item = await reader.next(facility_id, wait_s=wait_s)
    assert item is not None
    decoded = msgspec.json.decode(item.body, type=BmsWork)
    assert decoded.command_id is not None
    return decoded.command_id.int, item


def run_scenario(scenario: Callable[[Connect], Awaitable[None]], system: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), system() as connect:
            await scenario(connect)

    asyncio.run(run())


def test_published_messages_are_delivered_whole_and_in_order(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        publisher, worker, where = await connect(), BmsReader(await connect()), facility()
        for number in (1, 2, 3):
            await publisher.publish_bms(work(where, number), message_id=f"{where}:{number}")
        for number in (1, 2, 3):
            item = await worker.next(where, wait_s=LONG_S)
            assert item is not None
            assert msgspec.json.decode(item.body, type=BmsWork) == work(where, number)
            assert item.deliveries == 1
            await item.done()
        assert await worker.next(where, wait_s=SOON_S) is None

    run_scenario(scenario, system)


def test_a_repeated_message_id_is_ignored_even_after_the_first_is_done(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        first, second, where = await connect(), await connect(), facility()
        reader = BmsReader(second)
        for publisher in (first, first, second):
            await publisher.publish_bms(work(where), message_id=f"{where}:1")
        _, item = await next_number(reader, where)
        await item.done()
        await first.publish_bms(work(where), message_id=f"{where}:1")
        assert await reader.next(where, wait_s=SOON_S) is None

    run_scenario(scenario, system)


def test_work_without_a_sign_of_life_is_delivered_again(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        publisher, worker, where = await connect(), BmsReader(await connect()), facility()
        await publisher.publish_bms(work(where), message_id=f"{where}:1")
        _, lost = await next_number(worker, where)
        assert lost.deliveries == 1
        _, found = await next_number(worker, where)
        assert (found.deliveries, found.sequence) == (2, lost.sequence)
        await found.done()
        assert await worker.next(where, wait_s=REDELIVERY_S + SOON_S) is None

    run_scenario(scenario, system)


def test_whoever_takes_over_a_partition_gets_what_is_not_done_first_and_in_order(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        one, other, where = await connect(), await connect(), facility()
        for number in (1, 2, 3):
            await one.publish_bms(work(where, number), message_id=f"{where}:{number}")
        dead, successor = BmsReader(one), BmsReader(other)
        number, item = await next_number(dead, where)
        await item.done()
        assert (number, (await next_number(dead, where))[0]) == (1, 2)
        taken = [await next_number(successor, where, wait_s=REDELIVERY_S / 2) for _ in range(2)]
        assert [number for number, _ in taken] == [2, 3]
        assert taken[0][1].sequence < taken[1][1].sequence
        for _, item in taken:
            await item.done()
        assert await successor.next(where, wait_s=REDELIVERY_S + SOON_S) is None

    run_scenario(scenario, system)


def test_work_that_is_not_done_holds_up_no_other_of_its_partition(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        queue, slow = await connect(), facility()
        quick = next(one for one in iter(facility, "") if bms_partition_of(one) == bms_partition_of(slow))
        for number in (1, 2):
            await queue.publish_bms(work(slow, number), message_id=f"{slow}:{number}")
        await queue.publish_bms(work(quick), message_id=f"{quick}:1")
        reader = BmsReader(queue)
        held = [await next_number(reader, slow) for _ in range(2)]
        assert [number for number, _ in held] == [1, 2]
        _, item = await next_number(reader, quick)
        assert (item.facility_id, item.ordering_key != held[0][1].ordering_key) == (quick, True)
        assert held[0][1].ordering_key == held[1][1].ordering_key
        for delivered in (item, held[0][1], held[1][1]):
            assert await queue.is_next_bms(delivered)
            await delivered.done()

    run_scenario(scenario, system)


def test_a_worker_that_extends_its_lease_keeps_its_work(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        publisher, worker, where = await connect(), BmsReader(await connect()), facility()
        await publisher.publish_bms(work(where), message_id=f"{where}:1")
        _, item = await next_number(worker, where)
        waiting = asyncio.create_task(worker.next(where, wait_s=2.5 * REDELIVERY_S))
        while not waiting.done():
            await item.extend_lease()
            await asyncio.sleep(REDELIVERY_S / 10)
        assert await waiting is None
        await item.done()

    run_scenario(scenario, system)


def test_a_returned_message_is_redelivered_later(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        publisher, worker, where = await connect(), BmsReader(await connect()), facility()
        await publisher.publish_bms(work(where), message_id=f"{where}:1")
        _, item = await next_number(worker, where)
        await item.redeliver_after(0.1)
        with pytest.raises(WorkQueueUnavailable):
            await item.done()
        _, again = await next_number(worker, where)
        assert again.deliveries == 2
        await again.done()

    run_scenario(scenario, system)


def test_the_inventory_names_facilities_with_work_that_is_not_done(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        publisher, worker, busy, idle = await connect(), BmsReader(await connect()), facility(), facility()
        for where in (busy, idle):
            await publisher.publish_bms(work(where), message_id=f"{where}:1")
        assert {busy, idle} <= await publisher.facilities_with_work()
        _, done = await next_number(worker, idle)
        _, under_way = await next_number(worker, busy)
        await done.done()
        held = await publisher.facilities_with_work()
        assert busy in held
        assert idle not in held
        await under_way.done()
        assert busy not in await publisher.facilities_with_work()

    run_scenario(scenario, system)


def test_callbacks_are_delivered_to_one_of_the_workers_until_done(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        one, two = await connect(), await connect()
        sent = {uuid4() for _ in range(6)}
        for callback_id in sent:
            body = callback(callback_id)
            await one.publish_callback(body, message_id=str(callback_id))
            await two.publish_callback(body, message_id=str(callback_id))

        async def drain(queue: Any) -> list[UUID]:
            found = []
            while (item := await queue.next_callback("util-1", wait_s=SOON_S)) is not None:
                found.append(msgspec.json.decode(item.body, type=CallbackWork).callback_id)
                await item.done()
            return found

        found = [*(await drain(one)), *(await drain(two))]
        mine = [callback_id for callback_id in found if callback_id in sent]
        assert sorted(mine) == sorted(sent)

    run_scenario(scenario, system)


def test_the_inventory_names_the_callbacks_that_are_not_done(system: Any) -> None:
    async def scenario(connect: Connect) -> None:
        publisher, worker = await connect(), await connect()
        utility_id, other = f"util-{uuid4().hex}", f"util-{uuid4().hex}"
        sent = [uuid4() for _ in range(3)]
        facilities = await publisher.facilities_with_work()
        for number, callback_id in enumerate((*sent, uuid4())):
            body = msgspec.structs.replace(
                callback(callback_id), utility_id=utility_id if number < 3 else other
            )
            await publisher.publish_callback(body, message_id=str(callback_id))
        assert {utility_id, other} <= set(await publisher.utilities_with_callbacks())
        assert await publisher.callbacks_held(utility_id) == frozenset(sent)
        assert await publisher.facilities_with_work() == facilities  # a callback is no work for a BMS
        first = await worker.next_callback(utility_id, wait_s=LONG_S)
        second = await worker.next_callback(utility_id, wait_s=LONG_S)
        await first.redeliver_after(3_600)
        await second.done()
        assert await publisher.callbacks_held(utility_id) == frozenset({sent[0], sent[2]})
        assert await publisher.callbacks_held("util-nobody") == frozenset()

    run_scenario(scenario, system)


def callback(callback_id: UUID) -> CallbackWork:
    return CallbackWork(
        dr_event_id=UUID(int=1),
        callback_id=callback_id,
        kind="accepted",
        utility_id="util-1",
        url="https://utility.example/callbacks",
        body="{}",
        correlation_id=UUID(int=3),
        causation_id=UUID(int=4),
        trace_id="0" * 32,
    )


def test_an_unreachable_server_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_queue, "CONNECT_WITHIN_S", 0.5)
    with pytest.raises(WorkQueueUnavailable, match="GRIDPROOF_NATS_URL"):
        asyncio.run(NatsWorkQueue.connect("nats://127.0.0.1:1", redelivery_s=1.0, name="test"))
