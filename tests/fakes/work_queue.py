"""WorkPublisher and WorkSource in memory: no message twice, one at a time per facility, again what is not done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

import msgspec

from application.ports.work_queue import BmsWork, CallbackWork, WorkItem, WorkQueueUnavailable

CALLBACKS_AT_ONCE = 64
POLL_S = 0.005


@dataclass
class FakeWorkItem:
    """A message; delivered while `lent_until` lies ahead."""

    queue: FakeWorkQueue
    message: bytes
    times: int = 0
    lent_until: float = 0.0

    @property
    def body(self) -> bytes:
        return self.message

    @property
    def deliveries(self) -> int:
        return self.times

    async def done(self) -> None:
        self.queue.require_up()
        self.queue.forget(self)

    async def still_working(self) -> None:
        self.lent_until = monotonic() + self.queue.redelivery_s

    async def again_after(self, wall_s: float) -> None:
        self.lent_until = monotonic() + wall_s


class FakeWorkQueue:
    def __init__(self, *, redelivery_s: float = 30.0) -> None:
        self._redelivery_s = redelivery_s
        self._seen: set[tuple[str, str]] = set()
        self._waiting: dict[str, list[FakeWorkItem]] = {}
        self.is_down = False

    @property
    def redelivery_s(self) -> float:
        return self._redelivery_s

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        self._publish("bms", f"bms {work.facility_id}", msgspec.json.encode(work), message_id)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        self._publish("callback", "callback", msgspec.json.encode(work), message_id)

    async def next_bms(self, facility_id: str, *, wait_s: float) -> WorkItem | None:
        return await self._next(f"bms {facility_id}", wait_s, at_once=1)

    async def next_callback(self, *, wait_s: float) -> WorkItem | None:
        return await self._next("callback", wait_s, at_once=CALLBACKS_AT_ONCE)

    def require_up(self) -> None:
        if self.is_down:
            raise WorkQueueUnavailable("ordered to be down")

    def forget(self, item: FakeWorkItem) -> None:
        for items in self._waiting.values():
            if item in items:
                items.remove(item)

    def _publish(self, stream: str, place: str, body: bytes, message_id: str) -> None:
        self.require_up()
        if (stream, message_id) not in self._seen:
            self._seen.add((stream, message_id))
            self._waiting.setdefault(place, []).append(FakeWorkItem(self, body))

    async def _next(self, place: str, wait_s: float, *, at_once: int) -> WorkItem | None:
        self.require_up()
        until = monotonic() + wait_s
        while True:
            now = monotonic()
            items = self._waiting.get(place, [])
            free = [item for item in items if item.lent_until <= now]
            if free and len(items) - len(free) < at_once:
                free[0].times += 1
                free[0].lent_until = now + self._redelivery_s
                return free[0]
            if now >= until:
                return None
            await asyncio.sleep(POLL_S)
