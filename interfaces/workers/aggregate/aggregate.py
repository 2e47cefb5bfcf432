"""The aggregate worker: stores the telemetry log, partition by partition, and parks batches that cannot be stored."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial

import structlog

from application.command_bus.retry import (
    Pauses,
    Stopped,
    log_retry,
    retry_while_unavailable,
    sleep_or_stop,
)
from application.command_bus.spans import OpenSpan, logged, open_span
from application.command_bus.trace_context import parse_traceparent, trace_id_in
from application.ports.clock import Clock
from application.ports.coordination.partition_assignment import PartitionAssignment
from application.ports.operations.dead_letters import DeadLetters
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from application.ports.telemetry.stream import StreamedBatch, StreamUnavailable, TelemetryStream
from application.telemetry.ingest.batch_codec import MalformedBatch, unpack, unpack_readings
from domain.telemetry.meter_reading import ALL_PARTITIONS, MALFORMED, MeterReading
from interfaces.workers.aggregate.maintenance import maintain_storage
from interfaces.workers.aggregate.poison_batches import PoisonBatches
from interfaces.workers.aggregate.rollup_finalizing import FinalizingLock, PartitionFinalizing
from interfaces.workers.loops.lease_renewal import renewing_lease
from interfaces.workers.loops.partition_runner import run_assigned_partitions
from interfaces.workers.loops.periodic import PeriodicCheck

_log = structlog.get_logger(__name__)

SPAN = "store telemetry batch"
MAX_TRIES = 5
MAX_DELIVERIES = 25
"""A batch that was delivered more often without being finished is taken to crash its worker, and is parked.

Batches delivered more than MAX_TRIES times are stored one by one: the others then leave the log, and only the first of
them can be the cause.
"""
BATCHES_AT_ONCE = 64
WRITE_EVERY_S = 0.25
"""Wall seconds between two writes of a partition that is not behind. Smaller, more frequent writes cost more."""
REDELIVERY_S = 1.5
"""Wall seconds: less than the time after which the log delivers again what nobody has renewed."""
_PULL_FOR_S = 1.0
_THREADS = 2 * len(ALL_PARTITIONS)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 0.5

MAX_DOUBLINGS = 10
"""Of a pause: a poison batch that cannot be parked is tried without end, and 2**1024 is no float."""
Handling = Callable[[StreamedBatch], Awaitable[None]]


def _ignore(readings: Sequence[MeterReading]) -> None:
    return


class Aggregator:
    """Stores the batches of one partition in order. It waits for an unreachable store without a limit."""

    def __init__(
        self,
        *,
        partition: int,
        stream: TelemetryStream,
        store: TelemetryStore,
        dead_letters: DeadLetters,
        clock: Clock,
        rollups: TelemetryRollups | None = None,
        lock: FinalizingLock | None = None,
        first_pause_s: float = _FIRST_PAUSE_S,
        stored: Callable[[Sequence[MeterReading]], None] = _ignore,
    ) -> None:
        """`stored` is called with what was written."""
        self._partition = partition
        self._stream = stream
        self._store = store
        self._stored = stored
        self._poison = PoisonBatches(partition, dead_letters, clock)
        self._pauses = Pauses(first_pause_s, _LONGEST_PAUSE_S)
        self._finalizing: PartitionFinalizing | None = None
        if rollups is not None and partition != MALFORMED:
            self._finalizing = PartitionFinalizing(partition, rollups, lock or FinalizingLock())

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; a batch that is being stored is finished first."""
        background = []
        if self._finalizing is not None:
            background.append(asyncio.create_task(self._finalizing.run(stop)))
        try:
            name, pull = f"storing of partition {self._partition}", partial(self._pull_and_store, stop)
            await PeriodicCheck(name, pull, every_s=WRITE_EVERY_S).run(stop)
            await asyncio.gather(*background)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            with suppress(StreamUnavailable):  # then no batch is assigned to this worker either
                await self._stream.stop_consuming(self._partition)

    async def _pull_and_store(self, stop: asyncio.Event) -> float:
        """Returns the pause until the next pull, wall seconds. Raises StreamUnavailable."""
        batches = await self._stream.pull(self._partition, limit=BATCHES_AT_ONCE, timeout_s=_PULL_FOR_S)
        is_behind = bool(batches) and batches[-1].left >= BATCHES_AT_ONCE
        with nullcontext() if self._finalizing is None else self._finalizing.writing(is_behind=is_behind):
            await self.store(batches, stop)
        if len(batches) == BATCHES_AT_ONCE:
            return 0.0
        # All partitions at the same moment: their writes then go into one transaction.
        return WRITE_EVERY_S - asyncio.get_running_loop().time() % WRITE_EVERY_S

    async def _repeated(self, call: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
        """`call` until the stores it needs answer. Raises Stopped."""
        log = partial(log_retry, partition=self._partition)
        await retry_while_unavailable(call, stop=stop, pauses=self._pauses, on_retry=log)

    async def store(self, batches: Sequence[StreamedBatch], stop: asyncio.Event) -> None:
        """Store and acknowledge `batches`, in one transaction where possible. Raises StreamUnavailable.

        Returns early once `stop` is set while the store is away; the batches then stay in the log.
        """
        if not batches:
            return
        with suppress(Stopped):
            if self._partition == MALFORMED:
                await self._each(batches, self._poison.park_malformed, stop)
            elif any(batch.deliveries > MAX_TRIES for batch in batches):
                await self._each(batches, self._store_one, stop, suspected=batches[0])
            else:
                await self._store_together(batches, stop)

    async def _store_together(self, batches: Sequence[StreamedBatch], stop: asyncio.Event) -> None:
        spans = [span for batch in batches if (span := self._open_span(batch)) is not None]
        try:
            readings = unpack_readings([batch.body for batch in batches])
            async with self._leased(batches, stop):
                await self._repeated(self._writing(batches[-1], readings), stop)
            self._stored(readings)
        except (StreamUnavailable, Stopped):
            raise
        except Exception as error:  # noqa: BLE001 - whatever failed, each batch is now tried by itself
            _log.warning("batches cannot be stored together", partition=self._partition, error=str(error))
            await self._each(batches, self._store_one, stop)
        else:
            for span in spans:
                span.end()
            await self._stream.acknowledge_all(batches)

    def _open_span(self, batch: StreamedBatch) -> OpenSpan | None:
        """One span for the batch, in the trace that it came with."""
        parent = None if batch.traceparent is None else parse_traceparent(batch.traceparent)
        if parent is None:
            return None
        return open_span(
            SPAN,
            parent.trace_id,
            parent_id=parent.span_id,
            kind="consumer",
            partition=self._partition,
            delivery=batch.deliveries,
        )

    async def _each(
        self,
        batches: Sequence[StreamedBatch],
        handle: Handling,
        stop: asyncio.Event,
        *,
        suspected: StreamedBatch | None = None,
    ) -> None:
        for number, batch in enumerate(batches):
            crashes = batch is suspected and batch.deliveries > MAX_DELIVERIES
            span = self._open_span(batch)
            with logged(trace_id_in(batch.traceparent or "")):
                async with self._leased(batches[number:], stop):
                    await self._handle_or_park(batch, _refuse if crashes else handle, stop)
            if span is not None:
                span.end()
            await self._stream.acknowledge(batch)

    @asynccontextmanager
    async def _leased(self, batches: Sequence[StreamedBatch], stop: asyncio.Event) -> AsyncIterator[None]:
        """Inside the block no other worker is handed `batches`. When it raises Stopped, they are handed back.

        From `stop` on the lease is no longer renewed: a store that hangs delays only its own worker.
        """

        async def extend() -> None:
            with suppress(StreamUnavailable):  # delivered twice, a batch is stored once all the same
                for batch in [] if stop.is_set() else batches:
                    await self._stream.extend_lease(batch)

        try:
            async with renewing_lease(extend, REDELIVERY_S):
                yield
        except Stopped:
            for batch in batches:
                await self._stream.return_batch(batch)
            raise

    async def _handle_or_park(self, batch: StreamedBatch, handle: Handling, stop: asyncio.Event) -> None:
        """Handle `batch`; park it when it is malformed or has failed MAX_TRIES times. Raises Stopped."""
        tries = 0
        while True:
            try:
                await self._repeated(partial(handle, batch), stop)
            except Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - parked with its reason after MAX_TRIES
                tries += 1
                _log.warning("batch failed", seq=batch.stream_seq, tries=tries, error=str(error))
                is_poison = tries >= MAX_TRIES or isinstance(error, MalformedBatch)
                if is_poison and await self._poison.parked(batch, error):
                    return
            else:
                return
            await sleep_or_stop(
                stop, min(self._pauses.first_s * 2 ** min(tries, MAX_DOUBLINGS), self._pauses.longest_s)
            )
            if stop.is_set():
                raise Stopped

    async def _store_one(self, batch: StreamedBatch) -> None:
        readings = unpack(batch.body).readings
        await self._writing(batch, readings)()
        self._stored(readings)

    def _writing(self, last: StreamedBatch, readings: Sequence[MeterReading]) -> Callable[[], Awaitable[int]]:
        """What stores `readings`, of batches up to `last`."""
        return partial(
            asyncio.to_thread, self._store.write_readings, self._partition, last.stream_seq, readings
        )


async def _refuse(batch: StreamedBatch) -> None:
    raise MalformedBatch(f"handed out {batch.deliveries} times without being finished: it ends its worker")


async def run(
    *,
    stream: TelemetryStream,
    store: TelemetryStore,
    dead_letters: DeadLetters,
    clock: Clock,
    stop: asyncio.Event,
    rollups: TelemetryRollups | None = None,
    shares: PartitionAssignment | None = None,
    stored: Callable[[Sequence[MeterReading]], None] = _ignore,
) -> None:
    """Run until `stop` on the partitions assigned to this worker; without `shares`, on all of them.

    Without `rollups` the store makes its rollups itself.
    """
    lock = FinalizingLock()
    # All partitions write at the same moment: one that waits for a thread would miss their common transaction.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))

    def aggregator(partition: int) -> Aggregator:
        return Aggregator(
            partition=partition,
            stream=stream,
            store=store,
            dead_letters=dead_letters,
            clock=clock,
            rollups=rollups,
            lock=lock,
            stored=stored,
        )

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(maintain_storage(stream, store, clock, stop))
        if shares is None:
            for partition in ALL_PARTITIONS:
                tasks.create_task(aggregator(partition).run(stop))
        else:
            tasks.create_task(
                run_assigned_partitions(shares, lambda p, ended: aggregator(p).run(ended), stop)
            )
