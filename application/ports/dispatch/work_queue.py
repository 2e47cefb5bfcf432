"""The work queue: delivers recorded intents to the workers that act on them.

The queue is transport, not storage. Everything it carries is in the event log, and a repeated message finds
its outcome recorded.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, Protocol, Self
from uuid import UUID
from zlib import crc32

import msgspec

from domain.dr_event import CallbackKind, DREvent
from domain.event_sourcing.decoders import json_decoder

BmsTask = Literal["command", "verify", "reconcile"]
BMS_PARTITIONS = range(64)
"""The partitions of BMS work. Old and new processes compute the partition of a building, so their number never
changes."""
MAX_WORK_BYTES = 512 * 1024
"""The largest message: half of what NATS carries by default (`max_payload`), which counts the headers too."""


def bms_partition_of(facility_id: str) -> int:
    """The partition that has all work for the BMS of that facility."""
    return crc32(facility_id.encode()) % len(BMS_PARTITIONS)


class BmsWork(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a facility's BMS: execute recorded commands, or report the state of its zones after a
    commit or while the DR event runs."""

    task: BmsTask
    dr_event_id: UUID
    facility_id: str
    command_id: UUID | None
    more: tuple[UUID, ...] = ()
    """Commands to the same BMS that were requested together with it, to be executed after it in this order."""
    stale_after: datetime | None = None
    """From this moment the work is obsolete; None: it never is."""
    correlation_id: UUID
    causation_id: UUID
    tenant: str | None
    trace_id: str


class CallbackWork(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to a utility, as it was recorded."""

    dr_event_id: UUID
    callback_id: UUID
    kind: CallbackKind
    utility_id: str
    url: str
    """Empty where `address_id` names it."""
    address_id: UUID | None = None
    body: str
    correlation_id: UUID
    causation_id: UUID
    trace_id: str

    @classmethod
    def of(cls, intent: DREvent.CallbackRequested) -> Self:
        """The message of a recorded intent."""
        return cls(
            dr_event_id=intent.originator_id,
            callback_id=intent.callback_id,
            kind=intent.kind,
            utility_id=intent.tenant or "none",
            url=intent.url,
            address_id=intent.address_id,
            body=intent.body,
            correlation_id=intent.correlation_id,
            causation_id=intent.domain_event_id,
            trace_id=intent.trace_id,
        )


class WorkRejected(Exception):
    """The queue will never accept that message: a repetition is refused too."""


class WorkTooLarge(WorkRejected):
    """The queue cannot carry a message of that size."""


class _CallbackId(msgspec.Struct, frozen=True):
    callback_id: UUID


def callback_id_of(message: bytes) -> UUID | None:
    """The id of the callback in a message as it was published; None if the message is unreadable."""
    try:
        return json_decoder(_CallbackId).decode(message).callback_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def encode_work(work: BmsWork | CallbackWork) -> bytes:
    """The message as it is published. Raises WorkTooLarge."""
    message = msgspec.json.encode(work)
    if len(message) > MAX_WORK_BYTES:
        kind = type(work).__name__
        raise WorkTooLarge(f"a {kind} of {len(message)} bytes; at most {MAX_WORK_BYTES} fit into one message")
    return message


class WorkQueueUnavailable(Exception):
    """The queue did not accept or deliver a message. Nothing is lost; try again."""


class WorkQueueFull(WorkQueueUnavailable):
    """The queue has reached its size limit. It accepts messages again once waiting work is done."""


class WorkShareFull(WorkQueueFull):
    """The share of one utility is full; there is room for others."""


class WorkPublisher(Protocol):
    """Publishing the same `message_id` again has no effect."""

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        """Raises WorkQueueUnavailable or WorkRejected."""
        ...

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        """Raises WorkQueueUnavailable or WorkRejected."""
        ...


class WorkInventory(Protocol):
    """What the queue holds: work that waits, and work that was delivered and is not done."""

    async def facilities_with_work(self) -> frozenset[str]:
        """The facilities for whose BMS it holds work. Raises WorkQueueUnavailable."""
        ...

    async def utilities_with_callbacks(self) -> list[str]:
        """The utilities for which it holds callbacks. Raises WorkQueueUnavailable."""
        ...

    async def callbacks_held(self, utility_id: str) -> frozenset[UUID]:
        """The ids of the callbacks that it holds for that utility, read one by one. Raises WorkQueueUnavailable."""
        ...


class WorkItem(Protocol):
    """One delivery. Until `done` is called, it is delivered again after its time-out."""

    @property
    def body(self) -> bytes: ...

    @property
    def deliveries(self) -> int:
        """1 for the first delivery; higher after a worker died or was too slow."""
        ...

    async def done(self) -> None:
        """Acknowledge the delivery: it is not delivered again. Raises WorkQueueUnavailable, also after it was
        returned."""
        ...

    async def extend_lease(self) -> None:
        """Restart the time-out of this delivery."""
        ...

    async def redeliver_after(self, wall_s: float) -> None:
        """Return it, to be delivered again after `wall_s` seconds."""
        ...


class BmsWorkItem(WorkItem, Protocol):
    """One delivery of work for the BMS of a facility."""

    @property
    def facility_id(self) -> str: ...

    @property
    def sequence(self) -> int:
        """Its place in the order of publication. Another delivery of the same work has the same place."""
        ...

    @property
    def ordering_key(self) -> str:
        """Work of one key is delivered in the order of publication. A key has work for one facility only; a facility
        may have a second key, for work that a process of another release published."""
        ...


class BmsSource(Protocol):
    """The consumer side of BMS work: a queue for each partition, which has one consumer at a time."""

    async def take_over_bms(self, partition: int) -> None:
        """Begin to consume a partition: what an earlier consumer took and has not done is delivered again, in its
        order, before later work. Raises WorkQueueUnavailable."""
        ...

    async def next_bms(self, partition: int, *, wait_s: float) -> Sequence[BmsWorkItem]:
        """The next pieces of work of a partition that was taken over; none if none came within `wait_s` (wall). They
        are delivered whether or not earlier ones are done, up to a bound. Raises WorkQueueUnavailable."""
        ...

    async def release_bms(self, partition: int) -> None:
        """End to consume a partition. What was delivered stays delivered."""
        ...

    async def is_next_bms(self, item: BmsWorkItem) -> bool:
        """False while the queue holds earlier work for that facility under another ordering key. Raises
        WorkQueueUnavailable."""
        ...

    @property
    def redelivery_s(self) -> float:
        """Wall seconds after which an unacknowledged delivery is delivered again."""
        ...


class FormerBmsSource(Protocol):
    """The BMS work that processes of a release without partitions publish, until there is none left."""

    async def next_former_bms(self, partitions: Collection[int]) -> Sequence[BmsWorkItem]:
        """At most one piece of work for each facility of these partitions, without a wait: a facility has one delivery
        at a time, whichever release consumes it. Raises WorkQueueUnavailable."""
        ...


class CallbackSource(Protocol):
    """The consumer side of callbacks: a queue for each utility."""

    async def utilities_with_callbacks(self) -> list[str]:
        """The utilities that have callbacks which are not done. Raises WorkQueueUnavailable."""
        ...

    async def next_callback(self, utility_id: str, *, wait_s: float) -> WorkItem | None:
        """The next callback of that utility; None if none came within `wait_s` (wall)."""
        ...

    @property
    def redelivery_s(self) -> float:
        """Wall seconds after which an unacknowledged delivery is delivered again."""
        ...
