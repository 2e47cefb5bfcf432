"""Publishing of callbacks. A utility whose share of the queue is full delays nobody else for ever."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from application.callback import alert_subject
from application.command_bus.retry import retry_limited
from application.dispatch.callback_parking import CallbackParking
from application.ports.dispatch.work_queue import CallbackWork, WorkPublisher, WorkQueueFull, WorkRejected
from application.ports.failpoints import Failpoint
from domain.dr_event import DREvent

FULL_WAIT_S = 5.0
"""Wall seconds that the callbacks of a utility wait for room. The position of the relay stands still for that long."""


class QueueRoomTimeout(Exception):
    """The queue has had no room for the callbacks of that utility for too long."""


@dataclass(frozen=True)
class CallbackPublisher:
    """Publishes each callback or parks it. While NATS is away it waits without a limit.

    Once a utility has waited FULL_WAIT_S for room, each further callback of it is tried once and then parked,
    until one is accepted again. So a backlog is worked off quickly.
    """

    publisher: WorkPublisher
    parking: CallbackParking
    reached: Failpoint
    _full_since: dict[str, float] = field(default_factory=dict)
    """Utility -> loop time at which the queue first had no room for it."""

    async def publish(self, intent: DREvent.CallbackRequested) -> None:
        work = CallbackWork.of(intent)
        self.reached("relay.before_publish", str(work.callback_id))
        try:
            await retry_limited(partial(self._publish, work), final=(WorkRejected, QueueRoomTimeout))
        except QueueRoomTimeout as error:
            # One alert for all of them: a utility can make any number of callbacks.
            await self.parking.park(intent, work.utility_id, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop other callbacks
            subject = alert_subject(work.utility_id, work.callback_id)
            await self.parking.park(intent, subject, f"{type(error).__name__}: {error}")
        self.reached("relay.after_publish", str(work.callback_id))

    async def _publish(self, work: CallbackWork) -> None:
        now = asyncio.get_running_loop().time()
        try:
            await self.publisher.publish_callback(work, message_id=str(work.callback_id))
        except WorkQueueFull as full:
            since = self._full_since.setdefault(work.utility_id, now)
            if now - since >= FULL_WAIT_S:
                raise QueueRoomTimeout(
                    f"{full}; the callbacks of {work.utility_id} are parked until there is room"
                ) from full
            raise
        self._full_since.pop(work.utility_id, None)
