"""DispatchWorker: the only process that calls a BMS. It serves its share of the partitions of BMS work (ADR 0095)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import structlog

from application.command_bus.retry import (
    MAX_TRIES,
    TRANSIENT,
    Stopped,
    retry_while_unavailable,
)
from application.command_bus.spans import traced
from application.command_bus.trace_context import queued_span_id_of
from application.dispatch.execution.executor import DispatchExecutor
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnreadableDomainEvent
from application.ports.coordination.locks import LockLost, Locks
from application.ports.coordination.partition_assignment import PartitionAssignment
from application.ports.dispatch.work_queue import (
    BmsSource,
    BmsWork,
    BmsWorkItem,
    FormerBmsSource,
    WorkQueueUnavailable,
    bms_partition_of,
)
from application.ports.event_store.event_store import StreamNotFound
from domain.errors import DomainError, NotAllowedNow
from domain.event_sourcing.decoders import json_decoder
from interfaces.workers.loops.lease_renewal import renewing_lease
from interfaces.workers.loops.message_log import logged_message
from interfaces.workers.loops.ordered_executor import KeyedExecutor
from interfaces.workers.loops.partition_runner import run_assigned_partitions
from interfaces.workers.loops.periodic import PeriodicCheck

WAIT_S = 5.0
FORMER_EVERY_S = 1.0
"""Pause between two looks for work that a process of an earlier release published."""
BUILDINGS_AT_ONCE = 100_000
"""The queue bounds the work in hand (`adapters/nats/bms_work.py`), and the call slots bound the calls."""
REPEATED: tuple[type[Exception], ...] = (*TRANSIENT, LockLost, NotAllowedNow, UnreadableDomainEvent)
"""After these errors the work is tried again, and may succeed: a server is away, a race was lost, somebody else has
recorded an outcome meanwhile, or a newer release has written to the stream. The BMS is asked for the outcome first."""
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""The message is not a BmsWork: it may be thousands of brackets."""
FINAL = (StreamNotFound, DomainError, ValueError)
"""The work can never be carried out: it names something that is not on record."""
log = structlog.get_logger("dispatch")


@dataclass(eq=False)
class WorkInHand:
    """A piece of work from its first delivery to this worker until it is done or returned."""

    item: BmsWorkItem
    """The newest delivery: a broker that was restarted confirms no acknowledgement of an earlier one."""
    ended: asyncio.Event
    """Set when its partition is no longer served here."""
    failures: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is done or returned."""

    async def extend_lease(self) -> None:
        await self.item.extend_lease()

    def raise_if_ended(self) -> None:
        if self.ended.is_set():
            raise Stopped


@dataclass
class DispatchWorker:
    """Any number may run: each partition is assigned to one of them.

    The work of a building is done in the queue's order, and buildings do not wait for each other. The lock of the
    facility guarantees one piece of work at a time, also while its partition moves to another worker.
    """

    source: BmsSource
    calls: DispatchExecutor
    locks: Locks
    shares: PartitionAssignment
    former: FormerBmsSource | None = None
    _executor: KeyedExecutor = field(default_factory=lambda: KeyedExecutor(BUILDINGS_AT_ONCE))
    _in_hand: dict[int, WorkInHand] = field(default_factory=dict)
    """By the place in the queue's order."""
    _leases: set[asyncio.Task[None]] = field(default_factory=set)
    _served: dict[int, asyncio.Event] = field(default_factory=dict)
    """Partition -> set when it is no longer served."""

    async def run(self, stop: asyncio.Event) -> None:
        serving = [
            asyncio.create_task(run_assigned_partitions(self.shares, partial(self._serve, stop), stop))
        ]
        if self.former is not None:
            serving.append(asyncio.create_task(self._serve_former(self.former, stop)))
        try:
            await asyncio.wait(serving, return_when=asyncio.FIRST_EXCEPTION)
            for task in serving:
                if task.done():
                    task.result()
        finally:
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await self._abandon()

    async def _serve(self, stop: asyncio.Event, partition: int, ended: asyncio.Event) -> None:
        """Serve a partition until `ended`. Calls under way then go on, under the locks of their facilities. Whoever
        serves the partition next also gets their work, and finds their outcomes recorded."""
        tasks = asyncio.create_task(self._consume(partition, ended)), asyncio.create_task(ended.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            [failure, _] = await asyncio.gather(*tasks, return_exceptions=True)
            self._served.pop(partition, None)
            await self.source.release_bms(partition)
            if stop.is_set():
                await self._abandon()  # before the locks are released
        if isinstance(failure, Exception):
            raise failure

    async def _consume(self, partition: int, ended: asyncio.Event) -> None:
        take_over = partial(self.source.take_over_bms, partition)
        try:
            await retry_while_unavailable(take_over, stop=ended)
        except Stopped:
            return
        self._served[partition] = ended
        await PeriodicCheck(
            f"dispatch of partition {partition}",
            partial(self._take_next, partition, ended),
            every_s=0.0,
            retry_s=TIME_LIMITS.retry_wall_s,
        ).run(ended)

    async def _take_next(self, partition: int, ended: asyncio.Event) -> None:
        self._take(await self.source.next_bms(partition, wait_s=WAIT_S), ended)

    async def _serve_former(self, former: FormerBmsSource, stop: asyncio.Event) -> None:
        take = partial(self._take_former, former)
        await PeriodicCheck("dispatch of former work", take, every_s=FORMER_EVERY_S).run(stop)

    async def _take_former(self, former: FormerBmsSource) -> None:
        for item in await former.next_former_bms(frozenset(self._served)):
            ended = self._served.get(bms_partition_of(item.facility_id))
            if ended is None:
                await item.redeliver_after(0.0)
            else:
                self._take([item], ended)

    def _take(self, items: Sequence[BmsWorkItem], ended: asyncio.Event) -> None:
        """Queue new work behind the earlier work of its building. Raises the error of work that failed."""
        if self._executor.failure is not None:
            raise self._executor.failure
        for item in items:
            held = self._in_hand.get(item.sequence)
            if held is not None:
                held.item, held.ended = item, ended
                continue
            held = self._in_hand[item.sequence] = WorkInHand(item, ended)
            done = self._executor.put(item.ordering_key, partial(self._work, held))
            lease = asyncio.create_task(self._hold(held, done))
            self._leases.add(lease)
            lease.add_done_callback(self._leases.discard)

    async def _hold(self, held: WorkInHand, done: asyncio.Future[None]) -> None:
        """Renew the lease until the work is done, also while it waits behind other work of its building."""
        try:
            async with renewing_lease(held.extend_lease, self.source.redelivery_s):
                await asyncio.wait([done])
        finally:
            del self._in_hand[held.item.sequence]

    async def _abandon(self) -> None:
        """Cancel what is under way. It is delivered again to whoever takes over its partition."""
        await self._executor.aclose()
        leases = list(self._leases)
        for lease in leases:
            lease.cancel()
        await asyncio.gather(*leases, return_exceptions=True)

    async def _work(self, held: WorkInHand) -> None:
        """Try the work until it is done, or until its partition is no longer served here."""
        with logged_message(held.item.body):
            await PeriodicCheck(
                f"dispatch to {held.item.facility_id}",
                partial(self._try, held),
                every_s=TIME_LIMITS.retry_wall_s,
                also=REPEATED,
            ).run(held.over)

    async def _try(self, held: WorkInHand) -> None:
        try:
            held.raise_if_ended()
            is_over = await self._carry_out(held)
        except Stopped:
            await held.item.redeliver_after(0.0)
            is_over = True
        if is_over:
            held.over.set()

    async def _carry_out(self, held: WorkInHand) -> bool:
        """False if the work is to be tried again."""
        if not await self.source.is_next_bms(held.item):
            return False
        facility_id = held.item.facility_id
        async with self.locks.held(f"bms:{facility_id}", while_waiting=held.raise_if_ended):
            try:
                work = json_decoder(BmsWork).decode(held.item.body)
            except UNREADABLE as error:
                log.exception("parked: it is not BMS work", facility=facility_id)
                await self.calls.park_poison(facility_id, held.item.body, f"{type(error).__name__}: {error}")
            else:
                if not await self._finished(work, held):
                    return False
            await self._acknowledge(held)
        return True

    async def _acknowledge(self, held: WorkInHand) -> None:
        """Work that is done is not tried again for want of a confirmation: a broker that was restarted may never
        confirm what it had removed before. What it has not removed it delivers again, and its outcome is recorded."""
        item: BmsWorkItem | None = None
        while item is not held.item:
            item = held.item
            try:
                await item.done()
            except WorkQueueUnavailable as error:
                log.warning("not acknowledged", facility=item.facility_id, why=str(error))
            else:
                return

    async def _finished(self, work: BmsWork, held: WorkInHand) -> bool:
        """Do the work or park it. False if it is to be tried again."""
        with traced(
            f"bms {work.task}",
            work.trace_id,
            parent_id=queued_span_id_of(work.causation_id),
            kind="consumer",
            dr_event=work.dr_event_id,
            facility=work.facility_id,
            delivery=held.item.deliveries,
        ):
            return await self._finished_or_parked(work, held)

    async def _finished_or_parked(self, work: BmsWork, held: WorkInHand) -> bool:
        try:
            await self.calls.do(work)
        except REPEATED:
            raise
        except Exception as error:
            held.failures += 1
            tries = held.item.deliveries - 1 + held.failures
            log.exception("work failed", facility=work.facility_id, tries=tries)
            if tries < MAX_TRIES and not isinstance(error, FINAL):
                return False  # its BMS is asked first whether it knows the command, so nothing is done twice
            await self.calls.park(work, f"{type(error).__name__}: {error}")
        return True
