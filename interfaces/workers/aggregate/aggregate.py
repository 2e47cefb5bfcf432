"""aggregate: the telemetry log into the store, partition by partition; poison is parked and passed by."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import structlog

from application.ports.clock import Clock
from application.ports.coordination.partition_assignment import PartitionAssignment
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore, TelemetryStoreUnavailable
from application.ports.telemetry.stream import StreamedBatch, StreamUnavailable, TelemetryStream
from application.telemetry.ingest.batch_codec import MalformedBatch, unpack
from domain.telemetry.meter_reading import ALL_PARTITIONS, MALFORMED, MeterReading
from domain.telemetry.reading_block import joined
from interfaces.workers.aggregate.batch_lease import renew_while, wait_or_release
from interfaces.workers.aggregate.maintenance import maintain_storage
from interfaces.workers.aggregate.partition_runner import run_assigned_partitions
from interfaces.workers.aggregate.poison_batches import TelemetryParking
from interfaces.workers.aggregate.rollup_finalizing import PartitionSettling, SettlingTurn
from interfaces.workers.loops.leader_loop import sleep_or_stop

_log = structlog.get_logger(__name__)

MAX_TRIES = 5
MAX_DELIVERIES = 25
"""A batch handed out so often without being finished takes its worker down with it.

From MAX_TRIES on batches go in one by one, so that what is innocent leaves the log, and only the first can be it.
"""
BATCHES_AT_ONCE = 64
WRITE_EVERY_S = 0.25
"""Wall seconds between two writes of a partition that is not behind: many small ones cost more than they help."""
_PULL_FOR_S = 1.0
_THREADS = 2 * len(ALL_PARTITIONS)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 0.5

Handling = Callable[[StreamedBatch], Coroutine[Any, Any, None]]


class Aggregator:
    """Stores the batches of one partition in order. An unreachable store is waited for, however long it takes."""

    def __init__(
        self,
        *,
        partition: int,
        stream: TelemetryStream,
        store: TelemetryStore,
        dead_letters: DeadLetters,
        alerts: AlertRegistry,
        clock: Clock,
        rollups: TelemetryRollups | None = None,
        turn: SettlingTurn | None = None,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._partition = partition
        self._stream = stream
        self._store = store
        self._parking = TelemetryParking(partition, dead_letters, alerts, clock)
        self._first_pause_s = first_pause_s
        self._turn = turn or SettlingTurn()
        self._settling: PartitionSettling | None = None
        if rollups is not None and partition != MALFORMED:
            self._settling = PartitionSettling(partition, rollups, self._turn)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a batch in hand is finished first."""
        beside = []
        if self._settling is not None:
            beside.append(asyncio.create_task(self._settling.run(stop)))
        try:
            await self._work(stop)
            await asyncio.gather(*beside)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            with suppress(StreamUnavailable):  # then nothing is handed out to here either
                await self._stream.stop_consuming(self._partition)

    async def _work(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        pause_s = self._first_pause_s
        while not stop.is_set():
            try:
                batches = await self._stream.pull(
                    self._partition, limit=BATCHES_AT_ONCE, timeout_s=_PULL_FOR_S
                )
                if self._settling is not None:
                    is_behind = bool(batches) and batches[-1].left >= BATCHES_AT_ONCE
                    self._settling.note(is_behind=is_behind)
                await self.store(batches, stop)
                pause_s = self._first_pause_s
            except StreamUnavailable as error:
                _log.warning("telemetry log not reached", partition=self._partition, error=str(error))
                await sleep_or_stop(stop, pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            if len(batches) < BATCHES_AT_ONCE:
                # All partitions at the same moment: what they write then goes in together.
                await sleep_or_stop(stop, WRITE_EVERY_S - loop.time() % WRITE_EVERY_S)

    async def store(self, batches: Sequence[StreamedBatch], stop: asyncio.Event) -> None:
        """Store and acknowledge `batches`, in one transaction if they let themselves. Raises StreamUnavailable."""
        if not batches:
            return
        if self._partition == MALFORMED:
            await self._each(batches, self._parking.park_malformed, stop)
            return
        if any(batch.deliveries > MAX_TRIES for batch in batches):
            await self._each(batches, self._store_one, stop, suspected=batches[0])
            return
        try:
            readings = joined([unpack(batch.body).readings for batch in batches])
            is_stored = await self._written(batches, readings, stop)
        except StreamUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, each batch is now tried on its own
            _log.warning("batches do not go in together", partition=self._partition, error=str(error))
            await self._each(batches, self._store_one, stop)
        else:
            if is_stored:
                await self._stream.acknowledge_all(batches)

    async def _written(
        self, batches: Sequence[StreamedBatch], readings: Sequence[MeterReading], stop: asyncio.Event
    ) -> bool:
        """All in one transaction; False when `stop` came while the store was away."""
        pause_s = self._first_pause_s
        while True:
            try:
                writing = self._write(batches[-1].stream_seq, readings)
                await renew_while(self._stream, batches, writing, stop)
            except TelemetryStoreUnavailable as error:
                self._tell_away(error)
            else:
                return True
            if not await wait_or_release(self._stream, batches, pause_s, stop):
                return False
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _tell_away(self, error: TelemetryStoreUnavailable) -> None:
        _log.warning("telemetry store not reached", partition=self._partition, error=str(error))

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
            if not await self._finish(batch, _refuse if crashes else handle, batches[number:], stop):
                return
            await self._stream.acknowledge(batch)

    async def _finish(
        self,
        batch: StreamedBatch,
        handle: Handling,
        waiting: Sequence[StreamedBatch],
        stop: asyncio.Event,
    ) -> bool:
        """Handle `batch` or park it; False when `stop` came first and it stays in the log."""
        tries, pause_s = 0, self._first_pause_s
        while True:
            try:
                await renew_while(self._stream, waiting, handle(batch), stop)
            except TelemetryStoreUnavailable as error:
                self._tell_away(error)
            except Exception as error:  # noqa: BLE001 - parked with its reason after MAX_TRIES
                tries += 1
                _log.warning("batch failed", seq=batch.stream_seq, tries=tries, error=str(error))
                if (tries >= MAX_TRIES or isinstance(error, MalformedBatch)) and await self._parking.parked(
                    batch, error
                ):
                    return True
            else:
                return True
            if not await wait_or_release(self._stream, waiting, pause_s, stop):
                return False
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _store_one(self, batch: StreamedBatch) -> None:
        await self._write(batch.stream_seq, unpack(batch.body).readings)

    async def _write(self, stream_seq: int, readings: Sequence[MeterReading]) -> None:
        with self._turn.writing():
            await asyncio.to_thread(self._store.write_readings, self._partition, stream_seq, readings)


async def _refuse(batch: StreamedBatch) -> None:
    raise MalformedBatch(f"handed out {batch.deliveries} times without being finished: it ends its worker")


async def run(
    *,
    stream: TelemetryStream,
    store: TelemetryStore,
    dead_letters: DeadLetters,
    alerts: AlertRegistry,
    clock: Clock,
    stop: asyncio.Event,
    rollups: TelemetryRollups | None = None,
    shares: PartitionAssignment | None = None,
) -> None:
    """Until `stop`, on the partitions that are this worker's share; without `shares`, on all of them.

    Without `rollups` the store makes its rollups itself.
    """

    turn = SettlingTurn()
    # All partitions write at the same moment: one that waits for a thread would miss the transaction of the others.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))

    def aggregator(partition: int) -> Aggregator:
        return Aggregator(
            partition=partition,
            stream=stream,
            store=store,
            dead_letters=dead_letters,
            alerts=alerts,
            clock=clock,
            rollups=rollups,
            turn=turn,
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
