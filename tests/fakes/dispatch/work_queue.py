"""WorkPublisher and WorkSource in memory: the queue of the fault simulation, which a test may make
unavailable."""

from uuid import UUID

from application.ports.dispatch.work_queue import WorkItem, WorkQueueUnavailable
from tests.simulation.doubles.work_queue import MemoryWorkQueue, Message


class FakeWorkQueue(MemoryWorkQueue):
    is_down = False

    def forget(self, message: Message) -> None:
        self._require_up()
        super().forget(message)

    def _publish(self, stream: str, place: str, body: bytes, message_id: str) -> None:
        self._require_up()
        super()._publish(stream, place, body, message_id)

    async def facilities_with_work(self) -> frozenset[str]:
        self._require_up()
        return await super().facilities_with_work()

    async def callbacks_held(self, utility_id: str) -> frozenset[UUID]:
        self._require_up()
        return await super().callbacks_held(utility_id)

    async def utilities_with_callbacks(self) -> list[str]:
        self._require_up()
        return await super().utilities_with_callbacks()

    async def _next(self, place: str, wait_s: float, *, at_once: int) -> WorkItem | None:
        self._require_up()
        return await super()._next(place, wait_s, at_once=at_once)

    def _require_up(self) -> None:
        if self.is_down:
            raise WorkQueueUnavailable("ordered to be down")
