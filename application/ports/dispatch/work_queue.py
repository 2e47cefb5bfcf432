"""The work queue: delivers recorded intents to the workers that act on them.

The queue is transport, not storage. Everything it carries is in the event log, and a repeated message finds
its outcome recorded.
"""

from datetime import datetime
from typing import Literal, Protocol, Self
from uuid import UUID

import msgspec

from domain.dr_event import CallbackKind, DREvent

BmsTask = Literal["command", "verify", "reconcile"]
MAX_WORK_BYTES = 512 * 1024
"""The largest message: half of what NATS carries by default (`max_payload`), which counts the headers too."""


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
        return msgspec.json.decode(message, type=_CallbackId).callback_id
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


class WorkSource(Protocol):
    """The consumer side of the queue: one delivery at a time per facility, and a queue for each utility."""

    async def next_bms(self, facility_id: str, *, wait_s: float) -> WorkItem | None:
        """The next piece of work for that facility's BMS; None if none came within `wait_s` (wall)."""
        ...

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
