"""A rolling upgrade from a release with a consumer for each building: no command is lost, none is carried out twice.

`FormerQueue` has the subjects, consumers and requests of release 5ac5b021.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.js import api

from adapters.nats import bms_work
from adapters.nats.bms_work import BMS_STREAM, CONSUMER, FORMER_CONSUMER
from adapters.nats.stream_setup import set_up_stream
from adapters.nats.work_queue import DUPLICATE_WINDOW_S, NatsWorkQueue
from application.ports.dispatch.work_queue import BMS_PARTITIONS, BmsWork
from interfaces.workers.dispatch import dispatch as worker_module
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.fakes.coordination.partition_assignment import FakePartitionAssignment
from tests.servers import nats_server

PATIENCE_S = 120.0
REDELIVERY_S = 1.5
FACILITIES = [f"fac-{number:03}" for number in range(12)]


def work(facility_id: str, number: int) -> BmsWork:
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


@dataclass
class Buildings:
    """What the BMSs were told. As theirs, a command id is carried out once; a repetition finds its outcome recorded."""

    takes_s: float = 0.0
    carried_out: list[tuple[str, int]] = field(default_factory=list)
    repeated: int = 0
    inside: Counter[str] = field(default_factory=Counter)

    async def do(self, one: BmsWork) -> None:
        assert one.command_id is not None
        self.inside[one.facility_id] += 1
        assert self.inside[one.facility_id] == 1, "two commands to one building at the same time"
        await asyncio.sleep(self.takes_s)
        if (one.facility_id, one.command_id.int) in self.carried_out:
            self.repeated += 1
        else:
            self.carried_out.append((one.facility_id, one.command_id.int))
        self.inside[one.facility_id] -= 1

    def numbers(self, facility_id: str) -> list[int]:
        return [number for facility, number in self.carried_out if facility == facility_id]


class FormerQueue:
    """The BMS work of release 5ac5b021: the subject `bms.work.FACILITY`, and a durable consumer for each."""

    def __init__(self, client: Any) -> None:
        self._js = client.jetstream()
        self._subscriptions: dict[str, Any] = {}

    async def set_up(self) -> None:
        ours = {
            "subjects": ["bms.work.>"],
            "retention": api.RetentionPolicy.WORK_QUEUE,
            "storage": api.StorageType.FILE,
            "discard": api.DiscardPolicy.NEW,
            "duplicate_window": DUPLICATE_WINDOW_S,
        }
        await set_up_stream(
            self._js, "BMS_WORK", ours, replicas=None, max_bytes=None, first_max_bytes=1 << 20
        )

    async def publish(self, one: BmsWork, message_id: str) -> None:
        headers = {"Nats-Msg-Id": message_id}
        await self._js.publish(f"bms.work.{one.facility_id}", msgspec.json.encode(one), headers=headers)

    async def next(self, facility_id: str, wait_s: float) -> Any:
        durable = f"bms-{facility_id}"
        try:
            if durable not in self._subscriptions:
                config = api.ConsumerConfig(
                    durable_name=durable,
                    filter_subject=f"bms.work.{facility_id}",
                    ack_policy=api.AckPolicy.EXPLICIT,
                    ack_wait=REDELIVERY_S,
                    max_ack_pending=1,
                    max_deliver=-1,
                    mem_storage=True,
                )
                await self._js.add_consumer("BMS_WORK", config)
                bound = await self._js.pull_subscribe_bind(consumer=durable, stream="BMS_WORK")
                self._subscriptions[durable] = bound
            messages = await self._subscriptions[durable].fetch(1, timeout=wait_s)
        except (TimeoutError, nats.errors.TimeoutError):
            return None
        except (nats.errors.Error, nats.js.errors.Error):
            self._subscriptions.pop(durable, None)
            await asyncio.sleep(0.5)
            return None
        return messages[0] if messages else None

    async def serve(self, locks: FakeLocks, buildings: Buildings) -> None:
        """A dispatch worker of that release, until it is cancelled."""

        async def serve(facility_id: str) -> None:
            while True:
                message = await self.next(facility_id, 5.0)
                if message is not None:
                    async with locks.held(f"bms:{facility_id}"):
                        await buildings.do(msgspec.json.decode(message.data, type=BmsWork))
                    with suppress(nats.errors.Error):
                        await message.ack_sync()

        async with asyncio.TaskGroup() as serving:
            for facility_id in FACILITIES:
                serving.create_task(serve(facility_id))


@dataclass
class System:
    former: FormerQueue
    jetstream: Any
    url: str
    board: LockBoard = field(default_factory=LockBoard)
    buildings: Buildings = field(default_factory=Buildings)

    async def queue(self) -> NatsWorkQueue:
        """That of another process of this release."""
        return await NatsWorkQueue.connect(self.url, redelivery_s=REDELIVERY_S, name="test")

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """A dispatch worker of this release."""
        queue, stop = await self.queue(), asyncio.Event()
        process = object()
        one = DispatchWorker(
            source=queue,
            former=queue,
            calls=cast("Any", self.buildings),
            locks=FakeLocks(self.board, process),
            shares=FakePartitionAssignment(BMS_PARTITIONS, self.board, process),
        )
        running = asyncio.create_task(one.run(stop))
        try:
            yield
            stop.set()
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await queue.aclose()

    async def subjects(self) -> dict[str, int]:
        info = await self.jetstream.stream_info(BMS_STREAM, subjects_filter="bms.work.>")
        return info.state.subjects or {}

    async def consumers(self) -> set[str]:
        return {consumer.name for consumer in await self.jetstream.consumers_info(BMS_STREAM)}

    async def until_done(self, expected: int) -> None:
        while len(self.buildings.carried_out) < expected or await self.subjects():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@asynccontextmanager
async def system(url: str) -> AsyncIterator[System]:
    """A system of which every process is of that release."""
    client = await nats.connect(url)
    former = FormerQueue(client)
    await former.set_up()
    async with asyncio.timeout(PATIENCE_S):
        yield System(former, client.jetstream(), url)
    await client.close()


def run(scenario: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(bms_work, "RETIRE_EVERY_S", 0.2)
    monkeypatch.setattr(worker_module, "FORMER_EVERY_S", 0.2)

    async def on(url: str) -> None:
        async with system(url) as there:
            await scenario(there)

    with nats_server() as servers:
        asyncio.run(on(servers.nats_url))


def test_commands_under_way_of_both_releases_are_done_once_and_in_order(monkeypatch: Any) -> None:
    """A relay and a dispatch worker of either release run beside each other; then those of before end."""

    async def scenario(there: System) -> None:
        there.buildings.takes_s = 0.02
        numbers = dict.fromkeys(FACILITIES, 0)

        async def publish(publisher: NatsWorkQueue | None) -> None:
            """One command to each building, by the relay of either release."""
            for facility_id in FACILITIES:
                numbers[facility_id] += 1
                one = work(facility_id, numbers[facility_id])
                message_id = f"{facility_id}:{numbers[facility_id]}"
                if publisher is None:
                    await there.former.publish(one, message_id)
                    await there.former.publish(one, message_id)  # as after a crash
                else:
                    await publisher.publish_bms(one, message_id=message_id)

        former_locks = FakeLocks(there.board, object())
        await publish(None)
        under_way = await there.former.next(FACILITIES[0], 5.0)  # by a worker that is killed
        assert under_way is not None
        former_worker = asyncio.create_task(there.former.serve(former_locks, there.buildings))
        await publish(None)
        async with there.worker(), there.worker():
            publisher = await there.queue()
            for former in (True, True, False, False, False):
                await publish(None if former else publisher)
                await asyncio.sleep(0.3)
            await there.until_done(7 * len(FACILITIES))
            former_worker.cancel()
            await asyncio.gather(former_worker, return_exceptions=True)
            await publish(None)  # a relay of before may still run
            await publish(publisher)
            await there.until_done(9 * len(FACILITIES))
            while any(name.startswith(FORMER_CONSUMER) for name in await there.consumers()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert await there.consumers() == {f"{CONSUMER}{partition}" for partition in BMS_PARTITIONS}
        for facility_id in FACILITIES:
            assert there.buildings.numbers(facility_id) == list(range(1, 10))

    run(scenario, monkeypatch)


def test_work_is_published_as_before_until_a_worker_of_this_release_consumes_it(monkeypatch: Any) -> None:
    async def scenario(there: System) -> None:
        publisher, one = await there.queue(), FACILITIES[0]
        await publisher.publish_bms(work(one, 1), message_id="1")
        assert await there.subjects() == {f"bms.work.{one}": 1}
        assert await publisher.facilities_with_work() == {one}
        async with there.worker():
            await there.until_done(1)
            await publisher.publish_bms(work(one, 2), message_id="2")
            await there.until_done(2)
        await publisher.publish_bms(work(one, 3), message_id="3")
        assert await there.subjects() == {bms_work.partition_subject(one): 1}
        assert await publisher.facilities_with_work() == {one}
        later = await there.queue()
        await later.publish_bms(work(one, 4), message_id="4")
        assert await there.subjects() == {bms_work.partition_subject(one): 2}
        await there.former.set_up()  # a process of that release starts again
        await (await there.queue()).publish_bms(work(one, 5), message_id="5")
        assert await there.subjects() == {bms_work.partition_subject(one): 3}
        assert there.buildings.repeated == 0

    run(scenario, monkeypatch)


def test_a_building_is_not_commanded_before_its_earlier_work_at_a_worker_of_before(monkeypatch: Any) -> None:
    async def scenario(there: System) -> None:
        one, other = FACILITIES[:2]
        async with there.worker():
            publisher = await there.queue()
            await there.former.next(one, 0.1)  # its consumer is there
            for facility_id in (one, other):
                await publisher.publish_bms(work(facility_id, 1), message_id=f"{facility_id}:1")
            await there.until_done(2)
            there.board.held_by["bms:" + one] = cast("Any", None)  # a worker of before commands that building
            await there.former.publish(work(one, 2), "2")
            for number, facility_id in ((3, one), (3, other)):
                await publisher.publish_bms(work(facility_id, number), message_id=f"{facility_id}:{number}")
            while there.buildings.numbers(other) != [1, 3]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            assert there.buildings.numbers(one) == [1]
            there.board.free("bms:" + one)
            await there.until_done(5)
        assert there.buildings.numbers(one) == [1, 2, 3]

    run(scenario, monkeypatch)


def test_a_consumer_that_is_gone_loses_no_delivery_to_another_building(monkeypatch: Any) -> None:
    """Another worker deleted the consumer of one building; the fetch for it fails beside that of the other."""

    async def scenario(there: System) -> None:
        gone, other = FACILITIES[:2]
        queue = await there.queue()
        await there.former.publish(work(gone, 1), "1")
        [first] = await queue.next_former_bms(BMS_PARTITIONS)
        await first.done()
        await there.jetstream.delete_consumer(BMS_STREAM, f"{FORMER_CONSUMER}{gone}")
        for facility_id in (gone, other):
            await there.former.publish(work(facility_id, 2), f"{facility_id}:2")
        [found] = await queue.next_former_bms(BMS_PARTITIONS)
        assert (found.facility_id, found.deliveries) == (other, 1)
        await found.done()
        [again] = await queue.next_former_bms(BMS_PARTITIONS)
        assert again.facility_id == gone

    run(scenario, monkeypatch)
