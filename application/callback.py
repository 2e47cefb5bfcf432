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
from application.event_store.open_work import IntentNotRecorded, recorded_work
from application.ports.callback import (
    CallbackAccepted,
    CallbackAddresses,
    CallbackAddressRefused,
    CallbackFailed,
    CallbackRefused,
    UtilityNotifier,
)
from application.ports.clock import Clock
from application.ports.dispatch.open_work import OpenWork, OpenWorkRows
from application.ports.dispatch.requested_work import CallbackWork
from application.ports.event_store.event_log import EventLog
from application.ports.event_store.event_store import EventStore
from application.ports.failpoints import Failpoint
from application.ports.operations.dead_letters import DeadLetter
from domain.dr_event import DREvent, DREventState

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 5.0, 900.0
GIVE_UP_AFTER_S = 6 * 3_600.0
MIN_PAUSE_WALL_S = 0.05
FORGOTTEN = "the address was forgotten"
DEAD_LETTER_IDS = UUID("1a4b5bb0-7c6b-5d0e-9c36-9d3f9d2a9d10")
log = structlog.get_logger("watch")


class ParkedCallback(msgspec.Struct, frozen=True):
    """The body of a callback's dead letter. What is sent stays in the log."""

    queue: str
    position: int
    """The position of its intent in the log."""
    dr_event_id: UUID | None
    """None: no callback could be read there."""


def recorded_callback(event_log: EventLog, position: int) -> CallbackWork:
    """The callback whose intent stands at `position` of the log.

    Raises IntentNotRecorded, LogEntryUnreadable (a newer release recorded it) or EventStoreUnavailable.
    """
    work = recorded_work(event_log, position)
    if not isinstance(work, CallbackWork):
        raise IntentNotRecorded(f"work for a building and no callback at position {position} of the log")
    return work


@dataclass(frozen=True)
class CallbackCalls:
    """Carries out the callbacks whose rows a watch worker holds. What is signed and sent is read from the log.

    A row that is over is finished by the caller. If a worker dies in between, another one takes the row: the utility
    may then receive the callback twice, under the same callback id.
    """

    store: EventStore
    event_log: EventLog
    rows: OpenWorkRows
    bus: CommandBus
    notifier: UtilityNotifier
    addresses: CallbackAddresses
    clock: Clock
    reached: Failpoint

    async def carry_out(self, work: CallbackWork, row: OpenWork) -> float | None:
        """Send `work` unless it was delivered. Returns the wall seconds after which it is to be tried again; None: its
        outcome is recorded. Raises NotHeld if it is given up and another worker has the row."""
        dr_event = (await asyncio.to_thread(self.store.load, DREvent, work.dr_event_id)).state
        if dr_event.callbacks[str(work.callback_id)] == "delivered":
            return None
        if waited_s(row.tries - 2) >= GIVE_UP_AFTER_S:
            # It was due to be given up some tries ago, and each try ended its worker: do not call again.
            await self._give_up(work, dr_event, row, "its worker ended at each call")
            return None
        # A row whose callback is `undeliverable` was replayed, or its worker died before it was parked.
        return await self._send(work, dr_event, row)

    async def _send(self, work: CallbackWork, dr_event: DREventState, row: OpenWork) -> float | None:
        url = await self._url_of(work)
        if url is None:
            await self._note_forgotten(work, dr_event, row)
            return None
        in_flight = f"{work.kind} {work.callback_id}"
        self.reached("watch.before_call", in_flight)
        try:
            accepted = await self.notifier.send(
                dr_event.utility_id, url, work.body, work.callback_id, work.trace_id
            )
        except (CallbackRefused, CallbackAddressRefused) as refusal:
            await self._give_up(work, dr_event, row, refusal.reason, detail=str(refusal))
        except CallbackFailed as failure:
            if waited_s(row.tries) < GIVE_UP_AFTER_S:
                log.info("callback failed; trying again", callback=in_flight, why=str(failure))
                return self.pause_wall_s(row.tries)
            await self._give_up(work, dr_event, row, failure.reason, detail=str(failure))
        else:
            self.reached("watch.after_call", in_flight)
            await self._delivered(work, dr_event, row, accepted)
            self.reached("watch.after_record", in_flight)
        return None

    async def _url_of(self, work: CallbackWork) -> str | None:
        if work.address_id is None:
            return work.url
        return await asyncio.to_thread(self.addresses.url_of, work.address_id)

    async def _note_forgotten(self, work: CallbackWork, dr_event: DREventState, row: OpenWork) -> None:
        """Without a dead letter: an operator made the address be forgotten, and no replay would help."""
        if dr_event.callbacks[str(work.callback_id)] != "undeliverable":
            await self._record(_undeliverable(work, row, FORGOTTEN), work, dr_event.utility_id)

    async def _delivered(
        self, work: CallbackWork, dr_event: DREventState, row: OpenWork, accepted: CallbackAccepted
    ) -> None:
        command = RecordCallbackDelivered(
            dr_event_id=work.dr_event_id,
            callback_id=work.callback_id,
            kind=work.kind,
            attempts=row.tries,
            status_code=accepted.status_code,
        )
        await self._record(command, work, dr_event.utility_id)

    async def _give_up(
        self,
        work: CallbackWork,
        dr_event: DREventState,
        row: OpenWork,
        reason: str,
        *,
        detail: str | None = None,
    ) -> None:
        """Record that the utility did not receive it, and park the row.

        `detail` is for operators; the utility can read `reason`.
        """
        subject = letter_subject(dr_event.utility_id, work.callback_id)
        await self._record(_undeliverable(work, row, reason), work, dr_event.utility_id)
        self.reached("watch.before_park", f"{work.kind} {work.callback_id}")
        await self._park(row, subject, detail or reason, work.dr_event_id)

    async def park_failed(self, work: CallbackWork, row: OpenWork, reason: str) -> None:
        """Park a callback that fails with an error of ours, whatever it is. It may be repeated. Raises NotHeld."""
        command = _undeliverable(work, row, reason)
        try:
            await self._record(command, work, work.utility_id)
        except TRANSIENT:
            raise
        except Exception:
            # It may be what failed before.
            log.exception("the outcome of a parked callback was not recorded", callback=str(work.callback_id))
        subject = letter_subject(work.utility_id, work.callback_id)
        await self._park(row, subject, reason, work.dr_event_id)

    async def park_poison(self, row: OpenWork, reason: str) -> None:
        """Park a row whose callback cannot be read from the log. Raises NotHeld."""
        await self._park(row, row.queue, reason)

    async def _park(self, row: OpenWork, subject: str, reason: str, dr_event_id: UUID | None = None) -> None:
        parked = ParkedCallback(row.queue, row.position or 0, dr_event_id)
        letter = DeadLetter(
            dead_letter_id=dead_letter_id(row),
            queue="callback",
            subject=subject,
            reason=reason,
            body=msgspec.json.encode(parked),
            parked_at=self.clock.now(),
        )
        await asyncio.to_thread(self.rows.park, row, [letter])

    async def _record(self, command: msgspec.Struct, work: CallbackWork, utility_id: str) -> None:
        context = CommandContext(
            correlation_id=work.correlation_id,
            causation_id=work.causation_id,
            actor="worker:watch",
            tenant=utility_id,
            trace_id=work.trace_id,
        )
        await asyncio.to_thread(self.bus.handle, command, context)

    def pause_wall_s(self, tries: int) -> float:
        """The pause after that try."""
        jittered_s = uniform(0.8, 1.2) * backoff_s(tries)
        return max(MIN_PAUSE_WALL_S, self.clock.wall_seconds(jittered_s))


def _undeliverable(work: CallbackWork, row: OpenWork, reason: str) -> RecordCallbackUndeliverable:
    return RecordCallbackUndeliverable(
        dr_event_id=work.dr_event_id,
        callback_id=work.callback_id,
        kind=work.kind,
        attempts=row.tries,
        reason=reason,
    )


def backoff_s(tries: int) -> float:
    """Clock seconds from that try to the next: 5 s, doubling up to 15 minutes."""
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(tries - 1, 30))


def waited_s(tries: int) -> float:
    """Clock seconds of pauses before that try.

    Computed from the number of tries, not from the time of the recorded intent: time without a running worker does not
    count as a try, and a replay starts again from zero.
    """
    return sum(backoff_s(earlier) for earlier in range(1, tries))


def dead_letter_id(row: OpenWork) -> UUID:
    """A different id for each issue of the callback: a replay has a row of its own."""
    return uuid5(DEAD_LETTER_IDS, str(row.number))


def letter_subject(utility_id: str, callback_id: UUID) -> str:
    return f"{utility_id}/{callback_id}"
