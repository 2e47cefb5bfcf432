"""Deliveries of the work queue."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg

from adapters.nats.bms_work import facility_of
from application.ports.dispatch.work_queue import WorkQueueUnavailable

ANSWER_WITHIN_S = 5.0
FAILURES = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


@dataclass(frozen=True)
class NatsWorkItem:
    """A delivery of JetStream."""

    message: Msg

    @property
    def body(self) -> bytes:
        return self.message.data

    @property
    def deliveries(self) -> int:
        return self.message.metadata.num_delivered or 1

    async def done(self) -> None:
        try:
            await self.message.ack_sync(timeout=ANSWER_WITHIN_S)
        except FAILURES as error:
            raise WorkQueueUnavailable(f"the acknowledgement was not confirmed: {error}") from error

    async def extend_lease(self) -> None:
        with contextlib.suppress(*FAILURES):  # the next one, or a redelivery, makes up for it
            await self.message.in_progress()

    async def redeliver_after(self, wall_s: float) -> None:
        with contextlib.suppress(*FAILURES):  # it is redelivered after the ack wait
            await self.message.nak(delay=wall_s)


@dataclass(frozen=True)
class NatsBmsWorkItem(NatsWorkItem):
    """A delivery of BMS work. The subject names the facility."""

    @property
    def facility_id(self) -> str:
        return facility_of(self.message.subject)

    @property
    def sequence(self) -> int:
        return self.message.metadata.sequence.stream

    @property
    def ordering_key(self) -> str:
        return self.message.subject


@contextlib.contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Raises WorkQueueUnavailable for the errors of the client."""
    try:
        yield
    except FAILURES as error:
        raise WorkQueueUnavailable(f"{what}: {error!r}") from error
