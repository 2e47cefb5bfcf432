"""WorkPublisher and WorkSource in memory: deduplication, one message at a time per facility, redelivery."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from application.ports.dispatch.work_queue import (
    MAX_WORK_BYTES,
    BmsWork,
    CallbackWork,
    WorkItem,
    WorkQueueUnavailable,
    WorkRejected,
    WorkShareFull,
    callback_id_of,
    encode_work,
)
from tests.waking import complete_future

CALLBACKS_AT_ONCE = 10_000
CALLBACK_SHARE = 500
BMS = "bms "
CALLBACKS = "callbacks "
"""The places of messages begin so; the id of the facility or utility follows."""


@dataclass(eq=False)
class Message:
    body: bytes
    place: str
    times: int = 0
    lent_until: float = 0.0
    """The loop time until which the message is delivered to a consumer."""


@dataclass
class FakeWorkItem:
    """One delivery. As in JetStream, a late `done` counts even if the message was redelivered to another consumer."""

    queue: FakeWorkQueue
    message: Message
    deliveries: int
    was_given_back: bool = False

    @property
    def body(self) -> bytes:
        return self.message.body

    async def done(self) -> None:
        if self.was_given_back:
            raise WorkQueueUnavailable("released before; it will be redelivered")
        self.queue.forget(self.message)

    async def extend_lease(self) -> None:
        self.queue.lend(self.message, self.queue.redelivery_s)

    async def redeliver_after(self, wall_s: float) -> None:
        self.was_given_back = True
        self.queue.lend(self.message, wall_s)


@dataclass
class FakeWorkQueue:
    """One queue that all processes share. Raises WorkQueueUnavailable while it `is_down`."""

    redelivery_s: float = 30.0
    callback_share: int = CALLBACK_SHARE
    most_bytes: int = MAX_WORK_BYTES
    """The largest message that it takes, as its operator has set it."""
    is_down: bool = False
    waiting: dict[str, list[Message]] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _wanted: dict[str, list[asyncio.Future[None]]] = field(default_factory=dict)

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        self._publish("bms", f"{BMS}{work.facility_id}", encode_work(work), message_id)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        place = f"{CALLBACKS}{work.utility_id}"
        if (
            len(self.waiting.get(place, ())) >= self.callback_share
            and ("callback", message_id) not in self._seen
        ):
            raise WorkShareFull(f"{self.callback_share} callbacks of {work.utility_id} wait")
        self._publish("callback", place, encode_work(work), message_id)

    async def next_bms(self, facility_id: str, *, wait_s: float) -> WorkItem | None:
        return await self._next(f"{BMS}{facility_id}", wait_s, at_once=1)

    async def utilities_with_callbacks(self) -> list[str]:
        self._require_up()
        return sorted(
            place.removeprefix(CALLBACKS)
            for place, messages in self.waiting.items()
            if messages and place.startswith(CALLBACKS)
        )

    async def next_callback(self, utility_id: str, *, wait_s: float) -> WorkItem | None:
        return await self._next(f"{CALLBACKS}{utility_id}", wait_s, at_once=CALLBACKS_AT_ONCE)

    async def facilities_with_work(self) -> frozenset[str]:
        self._require_up()
        return frozenset(
            place.removeprefix(BMS)
            for place, messages in self.waiting.items()
            if messages and place.startswith(BMS)
        )

    async def callbacks_held(self, utility_id: str) -> frozenset[UUID]:
        self._require_up()
        messages = self.waiting.get(f"{CALLBACKS}{utility_id}", ())
        held = (callback_id_of(message.body) for message in messages)
        return frozenset(callback_id for callback_id in held if callback_id is not None)

    def purge_callbacks(self) -> int:
        """Lose all callbacks, as `purge_bms` loses BMS work."""
        return self._purge(CALLBACKS)

    def purge_bms(self) -> int:
        """Lose all BMS work, also what was delivered and is not done; returns its number. As in JetStream, the message
        ids are remembered.
        """
        return self._purge(BMS)

    def _purge(self, begin: str) -> int:
        purged = [place for place in self.waiting if place.startswith(begin)]
        return sum(len(self.waiting.pop(place)) for place in purged)

    def remember_id(self, stream: str, message_id: str) -> None:
        """As if a message with that id had been accepted, and were gone."""
        self._seen.add((stream, message_id))

    def forget_ids(self) -> None:
        """Forget the message ids, as after a restart of the broker: a repeated publish is delivered again."""
        self._seen.clear()

    def forget(self, message: Message) -> None:
        self._require_up()
        messages = self.waiting.get(message.place, [])
        if message in messages:
            messages.remove(message)
        self._stir(message.place)

    def lend(self, message: Message, wall_s: float) -> None:
        message.lent_until = asyncio.get_running_loop().time() + wall_s
        self._stir(message.place)

    def _publish(self, stream: str, place: str, body: bytes, message_id: str) -> None:
        self._require_up()
        if len(body) > self.most_bytes:
            raise WorkRejected(f"{message_id} has {len(body)} bytes, at most {self.most_bytes} are taken")
        if (stream, message_id) not in self._seen:
            self._seen.add((stream, message_id))
            self.waiting.setdefault(place, []).append(Message(body, place))
            self._stir(place)

    def _require_up(self) -> None:
        if self.is_down:
            raise WorkQueueUnavailable("ordered to be down")

    def _stir(self, place: str) -> None:
        for future in self._wanted.pop(place, []):
            complete_future(future)

    async def _next(self, place: str, wait_s: float, *, at_once: int) -> WorkItem | None:
        self._require_up()
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            now, messages = loop.time(), self.waiting.get(place, [])
            free = [message for message in messages if message.lent_until <= now]
            if free and len(messages) - len(free) < at_once:
                free[0].times += 1
                free[0].lent_until = now + self.redelivery_s
                return FakeWorkItem(self, free[0], free[0].times)
            if now >= until:
                return None
            lent = [message.lent_until for message in messages if message.lent_until > now]
            await self._stirred(place, min([until, *lent]))

    async def _stirred(self, place: str, until: float) -> None:
        """Wait until something changes at `place`, or until the loop time `until`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._wanted.setdefault(place, []).append(future)
        timer = loop.call_at(until, complete_future, future)
        try:
            await future
        finally:
            timer.cancel()
