"""WorkPublisher, BmsSource and CallbackSource in memory: deduplication, order, redelivery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from application.ports.dispatch.work_queue import (
    MAX_WORK_BYTES,
    BmsWork,
    BmsWorkItem,
    CallbackWork,
    WorkItem,
    WorkQueueUnavailable,
    WorkRejected,
    WorkShareFull,
    bms_partition_of,
    callback_id_of,
    encode_work,
)
from tests.waking import complete_future

CALLBACK_SHARE = 500
BMS = "bms "
CALLBACKS = "callbacks "
"""The places of messages begin so; the id of the facility or utility follows."""


@dataclass(eq=False)
class Message:
    body: bytes
    place: str
    sequence: int
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

    @property
    def facility_id(self) -> str:
        return self.message.place.removeprefix(BMS)

    @property
    def sequence(self) -> int:
        return self.message.sequence

    @property
    def ordering_key(self) -> str:
        return self.message.place

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
    _published: int = 0
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _wanted: list[asyncio.Future[None]] = field(default_factory=list)

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

    async def take_over_bms(self, partition: int) -> None:
        self._require_up()
        for message in self._of_partition(partition):
            message.lent_until = 0.0
            self._stir()

    async def next_bms(self, partition: int, *, wait_s: float) -> Sequence[BmsWorkItem]:
        item = await self._next(lambda: self._of_partition(partition), wait_s)
        return [] if item is None else [item]

    async def release_bms(self, partition: int) -> None:
        return

    async def is_next_bms(self, item: BmsWorkItem) -> bool:
        """Every facility has one ordering key."""
        self._require_up()
        return True

    def _of_partition(self, partition: int) -> list[Message]:
        """The messages of a partition in the order of publication."""
        found = [
            message
            for place, messages in self.waiting.items()
            if place.startswith(BMS) and bms_partition_of(place.removeprefix(BMS)) == partition
            for message in messages
        ]
        return sorted(found, key=lambda message: message.sequence)

    async def utilities_with_callbacks(self) -> list[str]:
        self._require_up()
        return sorted(
            place.removeprefix(CALLBACKS)
            for place, messages in self.waiting.items()
            if messages and place.startswith(CALLBACKS)
        )

    async def next_callback(self, utility_id: str, *, wait_s: float) -> WorkItem | None:
        return await self._next(lambda: self.waiting.get(f"{CALLBACKS}{utility_id}", ()), wait_s)

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
        self._stir()

    def lend(self, message: Message, wall_s: float) -> None:
        message.lent_until = asyncio.get_running_loop().time() + wall_s
        self._stir()

    def _publish(self, stream: str, place: str, body: bytes, message_id: str) -> None:
        self._require_up()
        if len(body) > self.most_bytes:
            raise WorkRejected(f"{message_id} has {len(body)} bytes, at most {self.most_bytes} are taken")
        if (stream, message_id) not in self._seen:
            self._seen.add((stream, message_id))
            self._published += 1
            self.waiting.setdefault(place, []).append(Message(body, place, self._published))
            self._stir()

    def _require_up(self) -> None:
        if self.is_down:
            raise WorkQueueUnavailable("ordered to be down")

    def _stir(self) -> None:
        wanted, self._wanted = self._wanted, []
        for future in wanted:
            complete_future(future)

    async def _next(self, messages_of: Callable[[], Iterable[Message]], wait_s: float) -> FakeWorkItem | None:
        self._require_up()
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            now, messages = loop.time(), list(messages_of())
            free = next((message for message in messages if message.lent_until <= now), None)
            if free is not None:
                free.times += 1
                free.lent_until = now + self.redelivery_s
                return FakeWorkItem(self, free, free.times)
            if now >= until:
                return None
            await self._stirred(min([until, *(message.lent_until for message in messages)]))

    async def _stirred(self, until: float) -> None:
        """Wait until something changes, or until the loop time `until`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._wanted.append(future)
        timer = loop.call_at(until, complete_future, future)
        try:
            await future
        finally:
            timer.cancel()
