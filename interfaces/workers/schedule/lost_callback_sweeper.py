"""LostCallbackSweeper: publishes callbacks again that the work queue has lost.

A callback is lost if the log has no outcome of it, the relay is past it, the queue does not hold it, and it was never
parked. One that is tried for hours stays in the queue, and so is not lost. It is published again as it was recorded,
under the same callback id, by which the utility recognises it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from application.callback import alert_subject, dead_letter_id
from application.command_bus.spans import logged
from application.dispatch.callback_parking import CallbackParking
from application.ports.clock import Clock
from application.ports.dispatch.work_queue import (
    CallbackWork,
    WorkInventory,
    WorkPublisher,
    WorkQueueFull,
    WorkQueueUnavailable,
    WorkRejected,
)
from application.ports.event_store.event_log import EventLog
from application.ports.event_store.event_store import EventStore
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetterNotFound, DeadLetters
from domain.dr_event import DREvent
from interfaces.workers.loops.periodic import PUT_OFF, PeriodicCheck
from interfaces.workers.relay.relay import READER
from interfaces.workers.schedule.sweep_loop import SweepLoop
from projections.deadlines import DeadlineRow

CALLBACKS = "callbacks"
LOCK = "lost-callbacks"
PERIOD = timedelta(minutes=5)
"""A callback is checked and published at most once in each period of this length. The periods are the same for all, so
that what a utility has on the queue is read once for all its callbacks. The number of the period is part of the message
id, so that JetStream drops what two processes publish in the same one."""
READ_EVERY = timedelta(minutes=1)
"""What a utility has on the queue is read at most once in this time; its callbacks that fall due meanwhile wait."""
MOST_AT_ONCE = 500
"""The most that one sweep publishes."""
log = structlog.get_logger("schedule")


@dataclass
class LostCallbackSweeper:
    """One is active per system. A callback that was not lost after all does no harm: it is delivered at least once."""

    overdue: Callable[[datetime], list[DeadlineRow]]
    """The callbacks without an outcome whose time is up at a moment."""
    inventory: WorkInventory
    positions: ReaderPositions
    event_log: EventLog
    store: EventStore
    publisher: WorkPublisher
    parking: CallbackParking
    dead_letters: DeadLetters
    alerts: AlertRegistry
    clock: Clock
    _checked: dict[UUID, int] = field(default_factory=dict)
    """Callback -> the period in which it was checked last."""
    _read_at: dict[str, datetime] = field(default_factory=dict)
    """Utility -> when its messages were read, if that is less than READ_EVERY ago."""

    @property
    def periodic(self) -> PeriodicCheck:
        return SweepLoop(
            sweep=self.sweep,
            work=CALLBACKS,
            subject=CALLBACKS,
            lock=LOCK,
            alerts=self.alerts,
            clock=self.clock,
        ).periodic

    async def sweep(self) -> dict[str, int]:
        """Publish lost callbacks again; returns utility -> the number of callbacks. Raises WorkQueueUnavailable."""
        reissued, full, now = Counter[str](), set[str](), self.clock.now()
        period = int(now.timestamp() // PERIOD.total_seconds())
        for row in await self._not_held(await self._to_check(now, period), now, period):
            utility_id = _utility(row)
            if reissued.total() >= MOST_AT_ONCE:
                break
            if utility_id in full:
                continue
            try:
                reissued[utility_id] += await self._publish_if_lost(row, period)
            except WorkQueueFull as error:
                log.warning("lost callbacks wait for room", utility=utility_id, why=str(error))
                full.add(utility_id)
            except WorkQueueUnavailable as error:
                log.warning("lost callbacks wait for the work queue", why=str(error))
                break  # what was published before is reported
            except PUT_OFF:
                raise
            except Exception:
                # For example a newer release has written to its stream. Looked at again in its next period.
                named = {"trace_id": row.trace_id, "dr_event": str(row.dr_event_id)}
                log.exception(
                    "a lost callback cannot be published again", callback=str(row.intent_id), **named
                )
                self._checked[_callback_id(row)] = period
            else:
                self._checked[_callback_id(row)] = period
        return {utility_id: number for utility_id, number in reissued.items() if number}

    async def _to_check(self, now: datetime, period: int) -> list[DeadlineRow]:
        """The overdue callbacks that were not checked in this period yet."""
        overdue = await asyncio.to_thread(self.overdue, now)
        still_open = {_callback_id(row) for row in overdue}
        self._checked = {one: last for one, last in self._checked.items() if one in still_open}
        return [row for row in overdue if self._checked.get(_callback_id(row)) != period]

    async def _not_held(self, to_check: list[DeadlineRow], now: datetime, period: int) -> list[DeadlineRow]:
        if not to_check:
            return []
        # In this order: whatever the relay is past by now is in the queue afterwards, or has an outcome, or is lost.
        published = await asyncio.to_thread(self.positions.position, READER)
        past = [row for row in to_check if row.position <= published]
        wanted = {_utility(row) for row in past}
        holding = wanted & set(await self.inventory.utilities_with_callbacks()) if wanted else set[str]()
        held = await self._read(holding, now)
        missing = []
        for row in past:
            if (utility_id := _utility(row)) in holding and utility_id not in held:
                continue  # read a moment ago
            if _callback_id(row) in held.get(utility_id, ()):
                self._checked[_callback_id(row)] = period
            else:
                missing.append(row)
        return missing

    async def _read(self, holding: set[str], now: datetime) -> dict[str, frozenset[UUID]]:
        """The callbacks on the queue of those utilities whose messages were not read in the last READ_EVERY."""
        self._read_at = {one: at for one, at in self._read_at.items() if now - at < READ_EVERY}
        held = {}
        for utility_id in sorted(holding - self._read_at.keys()):
            held[utility_id] = await self.inventory.callbacks_held(utility_id)
            self._read_at[utility_id] = now
        return held

    async def _publish_if_lost(self, row: DeadlineRow, period: int) -> int:
        """Publish a callback that the queue does not hold, unless it has an outcome or was parked. Returns how many."""
        with logged(row.trace_id, dr_event=row.dr_event_id):
            return await self._published(row, period)

    async def _published(self, row: DeadlineRow, period: int) -> int:
        intent = await asyncio.to_thread(self._lost_intent, row)
        if intent is None:
            return 0
        work = CallbackWork.of(intent)
        try:
            await self.publisher.publish_callback(work, message_id=f"{work.callback_id}:lost:{period}")
        except WorkRejected as error:
            subject = alert_subject(work.utility_id, work.callback_id)
            await self.parking.park(intent, subject, f"{type(error).__name__}: {error}")
            return 0
        log.warning(
            "a lost callback was published again", utility=work.utility_id, callback=str(work.callback_id)
        )
        return 1

    def _lost_intent(self, row: DeadlineRow) -> DREvent.CallbackRequested | None:
        """The recorded intent; None if it has an outcome by now, or was parked and so is left to a person.

        An outcome is recorded before the message is acknowledged: what the queue did not hold before has one, or is
        lost. Raises LogEntryUnreadable, UnreadableDomainEvent or StreamNotFound.
        """
        dr_event = self.store.load(DREvent, row.dr_event_id).state
        if dr_event.callbacks.get(str(row.intent_id)) != "requested":
            return None
        for entry in self.event_log.read_after(row.position - 1, 1):
            intent = entry.domain_event
            if isinstance(intent, DREvent.CallbackRequested) and intent.callback_id == row.intent_id:
                return None if self._was_parked(CallbackWork.of(intent)) else intent
        return None

    def _was_parked(self, work: CallbackWork) -> bool:
        """Also where its outcome could not be recorded. What a person did with the letter does not matter: a replay
        is published by itself."""
        try:
            self.dead_letters.get(dead_letter_id(work))
        except DeadLetterNotFound:
            return False
        return True


def _callback_id(row: DeadlineRow) -> UUID:
    return row.intent_id or row.stream_id


def _utility(row: DeadlineRow) -> str:
    """As in the subject of its message (CallbackWork.of)."""
    return row.tenant or "none"
