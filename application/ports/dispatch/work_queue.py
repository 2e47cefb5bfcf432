"""The work queue: delivers recorded intents to the workers that act on them.

The queue is transport, not storage. Everything it carries is in the event log, and a repeated message finds
its outcome recorded.
"""

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from domain.dr_event import CallbackKind

BmsTask = Literal["command", "verify", "reconcile"]


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
    body: str
    correlation_id: UUID
    causation_id: UUID
    trace_id: str


class WorkQueueUnavailable(Exception):
    """The queue did not accept or deliver a message. Nothing is lost; try again."""


class WorkQueueFull(WorkQueueUnavailable):
    """The queue has reached its size limit. It accepts messages again once waiting work is done."""


class WorkPublisher(Protocol):
    """Publishing the same `message_id` again has no effect."""

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        """Raises WorkQueueUnavailable."""
        ...

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        """Raises WorkQueueUnavailable."""
        ...


class WorkInventory(Protocol):
    """What the queue holds: work that waits, and work that was delivered and is not done."""

    async def facilities_with_work(self) -> frozenset[str]:
        """The facilities for whose BMS it holds work. Raises WorkQueueUnavailable."""
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
    """The consumer side of the queue: one delivery at a time per facility."""

    async def next_bms(self, facility_id: str, *, wait_s: float) -> WorkItem | None:
        """The next piece of work for that facility's BMS; None if none came within `wait_s` (wall)."""
        ...

    async def next_callback(self, *, wait_s: float) -> WorkItem | None:
        """The next callback; None if none came within `wait_s` (wall)."""
        ...

    @property
    def redelivery_s(self) -> float:
        """Wall seconds after which an unacknowledged delivery is delivered again."""
        ...
