"""The work queue: recorded intents on their way to the workers that act on them.

The queue is a road, not a memory: what it carries is in the log, and a message that comes twice finds the
outcome recorded.
"""

from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from domain.dr_event import CallbackKind

BmsTask = Literal["command", "verify", "reconcile"]


class BmsWork(msgspec.Struct, frozen=True, kw_only=True):
    """Something to ask of a facility's BMS: recorded commands, or the state of its zones: after a commit, or once more
    while the DR event runs."""

    task: BmsTask
    dr_event_id: UUID
    facility_id: str
    command_id: UUID | None
    more: tuple[UUID, ...] = ()
    """Commands to the same BMS that were requested with it, to be carried out after it, in this order."""
    stale_after: datetime | None = None
    """From then on not worth doing any more; None: always."""
    correlation_id: UUID
    causation_id: UUID
    tenant: str | None
    trace_id: str


class CallbackWork(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell a utility, as it was recorded."""

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
    """The queue did not take or give a message; nothing is lost, try again."""


class WorkQueueFull(WorkQueueUnavailable):
    """It holds as much as it may: it takes something again once what waits in it is done."""


class WorkPublisher(Protocol):
    """Publishing the same `message_id` again changes nothing."""

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        """Raises WorkQueueUnavailable."""
        ...

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        """Raises WorkQueueUnavailable."""
        ...


class WorkItem(Protocol):
    """One delivery. Until `done`, it comes again to somebody once its time is out."""

    @property
    def body(self) -> bytes: ...

    @property
    def deliveries(self) -> int:
        """1 the first time; more after a worker died or was too slow."""
        ...

    async def done(self) -> None:
        """Confirmed: it will not come again. Raises WorkQueueUnavailable, also for what was given back."""
        ...

    async def still_working(self) -> None:
        """Asks for as much time again."""
        ...

    async def again_after(self, wall_s: float) -> None:
        """Give it back, to be delivered again after that long."""
        ...


class WorkSource(Protocol):
    """Where workers take their work: one delivery at a time per facility."""

    async def next_bms(self, facility_id: str, *, wait_s: float) -> WorkItem | None:
        """The next piece of work for that facility's BMS; None if none came within `wait_s` (wall)."""
        ...

    async def next_callback(self, *, wait_s: float) -> WorkItem | None:
        """The next callback; None if none came within `wait_s` (wall)."""
        ...

    @property
    def redelivery_s(self) -> float:
        """How long (wall) a delivery stays with a silent worker."""
        ...
