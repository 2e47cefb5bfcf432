"""The work queue with faults: away at times, losing messages, responses and acknowledgements, delivering twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from application.ports.dispatch.work_queue import (
    BmsWork,
    BmsWorkItem,
    CallbackWork,
    WorkItem,
    WorkQueueUnavailable,
    WorkRejected,
)
from tests.fakes.dispatch.work_queue import FakeWorkQueue
from tests.simulation.scenario.fault_injection import FaultInjector


@dataclass
class SimulatedWorkQueue:
    """WorkPublisher, BmsSource and CallbackSource."""

    queue: FakeWorkQueue
    injector: FaultInjector
    down: bool = False

    @property
    def redelivery_s(self) -> float:
        return self.queue.redelivery_s

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        self.reach()
        if self.injector.strikes("queue.loses_message", message_id):
            self.queue.remember_id("bms", message_id)
            return
        for copy in self._copies(message_id):
            with self._noted(message_id):
                await self.queue.publish_bms(work, message_id=copy)
        self._answered(message_id)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        self.reach()
        if self.injector.strikes("queue.loses_callback", message_id):
            self.queue.remember_id("callback", message_id)
            return
        for copy in self._copies(message_id):
            with self._noted(message_id):
                await self.queue.publish_callback(work, message_id=copy)
        self._answered(message_id)

    async def take_over_bms(self, partition: int) -> None:
        self.reach()
        await self.queue.take_over_bms(partition)

    async def next_bms(self, partition: int, *, wait_s: float) -> Sequence[BmsWorkItem]:
        self.reach()
        return [
            SimulatedBmsWorkItem(self, item) for item in await self.queue.next_bms(partition, wait_s=wait_s)
        ]

    async def release_bms(self, partition: int) -> None:
        return

    async def is_next_bms(self, item: BmsWorkItem) -> bool:
        self.reach()
        return await self.queue.is_next_bms(item)

    async def utilities_with_callbacks(self) -> list[str]:
        self.reach()
        return await self.queue.utilities_with_callbacks()

    async def next_callback(self, utility_id: str, *, wait_s: float) -> WorkItem | None:
        self.reach()
        return self._handed(await self.queue.next_callback(utility_id, wait_s=wait_s))

    async def facilities_with_work(self) -> frozenset[str]:
        self.reach()
        return await self.queue.facilities_with_work()

    async def callbacks_held(self, utility_id: str) -> frozenset[UUID]:
        self.reach()
        return await self.queue.callbacks_held(utility_id)

    def reach(self) -> None:
        if self.down or self.injector.strikes("queue.refuses"):
            raise WorkQueueUnavailable("simulated: the broker does not respond")

    @contextmanager
    def _noted(self, message_id: str) -> Iterator[None]:
        try:
            yield
        except WorkRejected:
            self.injector.strike("queue.rejects", message_id)
            raise

    def _copies(self, message_id: str) -> list[str]:
        if self.injector.strikes("queue.delivers_twice", message_id):
            return [message_id, f"{message_id}:again"]
        return [message_id]

    def _answered(self, message_id: str) -> None:
        if self.injector.strikes("queue.loses_publish_answer", message_id):
            raise WorkQueueUnavailable("simulated: published, but the response was lost")

    def _handed(self, item: WorkItem | None) -> WorkItem | None:
        return None if item is None else SimulatedWorkItem(self, item)


@dataclass(frozen=True)
class SimulatedWorkItem:
    source: SimulatedWorkQueue
    item: WorkItem

    @property
    def body(self) -> bytes:
        return self.item.body

    @property
    def deliveries(self) -> int:
        return self.item.deliveries

    async def done(self) -> None:
        self.source.reach()
        if self.source.injector.strikes("queue.loses_ack"):
            raise WorkQueueUnavailable("simulated: the acknowledgement was lost")
        await self.item.done()
        if self.source.injector.strikes("queue.loses_ack_answer"):
            raise WorkQueueUnavailable("simulated: acknowledged, but the confirmation was lost")

    async def extend_lease(self) -> None:
        if not self.source.down:
            await self.item.extend_lease()

    async def redeliver_after(self, wall_s: float) -> None:
        if not self.source.down:
            await self.item.redeliver_after(wall_s)


@dataclass(frozen=True)
class SimulatedBmsWorkItem(SimulatedWorkItem):
    item: BmsWorkItem

    @property
    def facility_id(self) -> str:
        return self.item.facility_id

    @property
    def sequence(self) -> int:
        return self.item.sequence

    @property
    def ordering_key(self) -> str:
        return self.item.ordering_key
