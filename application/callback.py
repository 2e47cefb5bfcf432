"""Delivery of callbacks to utilities: call, record the outcome, and dead-letter after hours of failures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import uniform
from uuid import UUID, uuid5

import msgspec
import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.command_bus.retry import TRANSIENT
from application.commands.dr_event import RecordCallbackDelivered, RecordCallbackUndeliverable
from application.ports.callback import (
    CallbackAccepted,
    CallbackAddresses,
    CallbackAddressRefused,
    CallbackFailed,
    CallbackRefused,
    UtilityNotifier,
)
from application.ports.clock import Clock
from application.ports.dispatch.work_queue import CallbackWork, WorkItem
from application.ports.event_store.event_store import EventStore, StreamNotFound
from application.ports.failpoints import Failpoint
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetter, DeadLetterNotFound, DeadLetters
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing.decoders import json_decoder

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 5.0, 900.0
GIVE_UP_AFTER_S = 6 * 3_600.0
MIN_PAUSE_WALL_S = 0.05
ALERT = "callback_undeliverable"
FORGOTTEN = "the address was forgotten"
DEAD_LETTER_IDS = UUID("1a4b5bb0-7c6b-5d0e-9c36-9d3f9d2a9d10")
log = structlog.get_logger("notify")


@dataclass(frozen=True)
class CallbackCalls:
    """Processes one delivery of a callback in a notify worker."""

    store: EventStore
    bus: CommandBus
    notifier: UtilityNotifier
    addresses: CallbackAddresses
    clock: Clock
    dead_letters: DeadLetters
    alerts: AlertRegistry
    reached: Failpoint

    async def carry_out(self, work: CallbackWork, item: WorkItem) -> None:
        """Finish `item`: recorded and acknowledged, or returned for a later delivery.

        If a worker dies in between, the message is delivered again. The utility may then receive the callback
        twice, under the same callback id.
        """
        try:
            dr_event = (await asyncio.to_thread(self.store.load, DREvent, work.dr_event_id)).state
        except StreamNotFound:
            await self.park_poison(item, work.utility_id, f"no DR event {work.dr_event_id} was ever recorded")
            return
        if str(work.callback_id) not in dr_event.callbacks:
            await self.park_poison(item, work.utility_id, f"callback {work.callback_id} was never requested")
        elif await self._concluded(work, dr_event):
            await item.done()
        elif waited_s(item.deliveries - 2) >= GIVE_UP_AFTER_S:
            # It was due to be given up some deliveries ago, and each delivery ended its worker: do not call
            # again.
            await self._give_up(work, dr_event, item, "its worker ended at each call")
        else:
            await self._send(work, dr_event, item)

    async def _concluded(self, work: CallbackWork, dr_event: DREventState) -> bool:
        """Whether it was delivered, or given up under this very message. A replayed callback is open again."""
        status = dr_event.callbacks[str(work.callback_id)]
        if status != "undeliverable":
            return status == "delivered"
        try:
            await asyncio.to_thread(self.dead_letters.get, dead_letter_id(work))
        except DeadLetterNotFound:
            return False
        return True

    async def _send(self, work: CallbackWork, dr_event: DREventState, item: WorkItem) -> None:
        url = await self._url_of(work)
        if url is None:
            await self._note_forgotten(work, dr_event, item)
            return
        in_flight = f"{work.kind} {work.callback_id}"
        self.reached("notify.before_call", in_flight)
        try:
            accepted = await self.notifier.send(
                dr_event.utility_id, url, work.body, work.callback_id, work.trace_id
            )
        except (CallbackRefused, CallbackAddressRefused) as refusal:
            await self._give_up(work, dr_event, item, refusal.reason, detail=str(refusal))
        except CallbackFailed as failure:
            if waited_s(item.deliveries) >= GIVE_UP_AFTER_S:
                await self._give_up(work, dr_event, item, failure.reason, detail=str(failure))
            else:
                log.info("callback failed; trying again", callback=in_flight, why=str(failure))
                await self.put_off(item)
        else:
            self.reached("notify.after_call", in_flight)
            await self._delivered(work, dr_event, item, accepted)
            self.reached("notify.after_record", in_flight)
            await item.done()

    async def _url_of(self, work: CallbackWork) -> str | None:
        if work.address_id is None:
            return work.url
        return await asyncio.to_thread(self.addresses.url_of, work.address_id)

    async def _note_forgotten(self, work: CallbackWork, dr_event: DREventState, item: WorkItem) -> None:
        """Without a dead letter and an alert: an operator made the address be forgotten, and no replay would help."""
        if dr_event.callbacks[str(work.callback_id)] != "undeliverable":
            await self._record(_undeliverable(work, item, FORGOTTEN), work, dr_event.utility_id)
        await item.done()

    async def _delivered(
        self, work: CallbackWork, dr_event: DREventState, item: WorkItem, accepted: CallbackAccepted
    ) -> None:
        command = RecordCallbackDelivered(
            dr_event_id=work.dr_event_id,
            callback_id=work.callback_id,
            kind=work.kind,
            attempts=item.deliveries,
            status_code=accepted.status_code,
        )
        await self._record(command, work, dr_event.utility_id)
        subject = alert_subject(dr_event.utility_id, work.callback_id)
        await asyncio.to_thread(self.alerts.clear, ALERT, subject, at=self.clock.now())

    async def _give_up(
        self,
        work: CallbackWork,
        dr_event: DREventState,
        item: WorkItem,
        reason: str,
        *,
        detail: str | None = None,
    ) -> None:
        """Park the callback, raise the alert, and record that the utility did not receive it.

        `detail` is for operators; the utility can read `reason`.
        """
        subject = alert_subject(dr_event.utility_id, work.callback_id)
        await self._park(dead_letter_id(work), subject, detail or reason, item.body)
        await self._alert(subject, f"{work.kind} after {item.deliveries} tries: {detail or reason}")
        await self._record(_undeliverable(work, item, reason), work, dr_event.utility_id)
        await item.done()

    async def put_off(self, item: WorkItem) -> None:
        """Return it for a later delivery, after the pause of a call that failed."""
        await item.redeliver_after(self._pause_wall_s(item.deliveries))

    async def park_failed(self, item: WorkItem, reason: str) -> None:
        """Park a callback that fails with an error of ours, whatever it is. It may be repeated."""
        try:
            work = json_decoder(CallbackWork).decode(item.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            await self.park_poison(item, "unknown", reason)
            return
        subject = alert_subject(work.utility_id, work.callback_id)
        await self._park(dead_letter_id(work), subject, reason, item.body)
        await self._alert(subject, f"{work.kind}: {reason}")
        command = _undeliverable(work, item, reason)
        try:
            await self._record(command, work, work.utility_id)
        except TRANSIENT:
            raise
        except Exception:
            # It may be what failed before. The dead letter and the alert are there.
            log.exception("the outcome of a parked callback was not recorded", callback=str(work.callback_id))
        await item.done()

    async def park_poison(self, item: WorkItem, subject: str, reason: str) -> None:
        """Park a message that is not a callback."""
        await self._park(uuid5(DEAD_LETTER_IDS, item.body.hex()), subject, reason, item.body)
        await self._alert(subject, reason)
        await item.done()

    async def _park(self, letter_id: UUID, subject: str, reason: str, body: bytes) -> None:
        letter = DeadLetter(
            dead_letter_id=letter_id,
            queue="callback",
            subject=subject,
            reason=reason,
            body=body,
            parked_at=self.clock.now(),
        )
        await asyncio.to_thread(self.dead_letters.park, letter)

    async def _alert(self, subject: str, detail: str) -> None:
        await asyncio.to_thread(self.alerts.raise_alert, ALERT, subject, detail, at=self.clock.now())

    async def _record(self, command: msgspec.Struct, work: CallbackWork, utility_id: str) -> None:
        context = CommandContext(
            correlation_id=work.correlation_id,
            causation_id=work.causation_id,
            actor="worker:notify",
            tenant=utility_id,
            trace_id=work.trace_id,
        )
        await asyncio.to_thread(self.bus.handle, command, context)

    def _pause_wall_s(self, deliveries: int) -> float:
        jittered_s = uniform(0.8, 1.2) * backoff_s(deliveries)
        return max(MIN_PAUSE_WALL_S, self.clock.wall_seconds(jittered_s))


def _undeliverable(work: CallbackWork, item: WorkItem, reason: str) -> RecordCallbackUndeliverable:
    return RecordCallbackUndeliverable(
        dr_event_id=work.dr_event_id,
        callback_id=work.callback_id,
        kind=work.kind,
        attempts=item.deliveries,
        reason=reason,
    )


def backoff_s(deliveries: int) -> float:
    """Clock seconds from that delivery to the next: 5 s, doubling up to 15 minutes."""
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(deliveries - 1, 30))


def waited_s(deliveries: int) -> float:
    """Clock seconds of pauses before that delivery.

    Computed from the number of deliveries, not from the time of the recorded intent: time without a running
    worker does not count as a try, and a replay starts again from zero.
    """
    return sum(backoff_s(earlier) for earlier in range(1, deliveries))


def dead_letter_id(work: CallbackWork) -> UUID:
    """A different id for each issue of the callback: the intent, and every replay, which is caused by its
    dead letter."""
    return uuid5(work.callback_id, f"dead-letter:{work.causation_id}")


def alert_subject(utility_id: str, callback_id: UUID) -> str:
    return f"{utility_id}/{callback_id}"
