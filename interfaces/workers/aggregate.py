"""aggregate: the telemetry log into the store, partition by partition; poison is parked and passed by."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.dead_letters import DeadLetters
from application.ports.partition_shares import PartitionShares
from application.ports.telemetry_rollups import TelemetryRollups
from application.ports.telemetry_store import TelemetryStore, TelemetryStoreUnavailable
from application.ports.telemetry_stream import StreamedBatch, StreamUnavailable, TelemetryStream
from application.reading_packs import MalformedBatch, received_at, unpack
from domain.meter_reading import ALL_PARTITIONS, MALFORMED
from domain.reading_block import joined
from interfaces.workers.holding import sleep_unless
from interfaces.workers.lag_alerts import LagAlerts
from interfaces.workers.partition_work import work_on_share
from interfaces.workers.telemetry_housekeeping import keep_house
from interfaces.workers.telemetry_parking import TelemetryParking

_log = structlog.get_logger(__name__)

MAX_TRIES = 5
MAX_DELIVERIES = 25
"""A batch handed out so often without being finished takes its worker down with it.

From MAX_TRIES on batches go in one by one, so that what is innocent leaves the log, and only the first can be it.
"""
BATCHES_AT_ONCE = 64
WRITE_EVERY_S = 0.25
"""Wall seconds between two writes of a partition that is not behind: many small ones cost more than they help."""
SETTLE_EVERY_S = 2.0
SETTLE_AGAIN_AFTER_S = 30.0
"""After an error that nobody foresaw."""
FEWEST_SETTLED, FIRST_SETTLED, MOST_SETTLED = 5, 25, 200
"""Quarter-hours of facilities in one transaction."""
SETTLING_LASTS_S = 0.1
"""Wall seconds: nobody else writes readings of the partition meanwhile, and it has four writes a second."""
_PULL_FOR_S = 1.0
_WATCH_EVERY_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0


def next_limit(limit: int, took_s: float) -> int:
    """How many quarter-hours to settle at once, where `limit` took so long: facilities have few meters or many."""
    if took_s > 2 * SETTLING_LASTS_S:
        return max(FEWEST_SETTLED, limit // 2)
    return min(MOST_SETTLED, 2 * limit) if took_s < SETTLING_LASTS_S / 2 else limit


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
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._partition = partition
        self._stream = stream
        self._store = store
        self._parking = TelemetryParking(partition, dead_letters, alerts, clock)
        self._clock = clock
        self._first_pause_s = first_pause_s
        self._rollups = rollups
        self._lag = LagAlerts(alerts, clock, f"partition {partition}")
        self._oldest_at: datetime | None = None
        """When what is in hand was received; None: all is stored."""
        self._settle_at_s = 0.0
        self._settled_at_once = FIRST_SETTLED

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a batch in hand is finished first."""
        watching = asyncio.create_task(self._watch(stop))
        try:
            await self._work(stop)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self._lag.forget()
            with suppress(StreamUnavailable):  # then nothing is handed out to here either
                await self._stream.let_go(self._partition)

    async def _work(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        pause_s = self._first_pause_s
        while not stop.is_set():
            try:
                batches = await self._stream.pull(
                    self._partition, limit=BATCHES_AT_ONCE, timeout_s=_PULL_FOR_S
                )
                await self.store(batches, stop)
                pause_s = self._first_pause_s
            except StreamUnavailable as error:
                _log.warning("telemetry log not reached", partition=self._partition, error=str(error))
                await sleep_unless(stop, pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            await self.settle_if_due(loop.time())
            if len(batches) < BATCHES_AT_ONCE:
                # All partitions at the same moment: what they write then goes in together.
                await sleep_unless(stop, WRITE_EVERY_S - loop.time() % WRITE_EVERY_S)

    async def settle_if_due(self, at_s: float) -> None:
        """Write down the quarter-hours that are over, a few at a time."""
        if self._rollups is None or self._partition == MALFORMED or at_s < self._settle_at_s:
            return
        self._settle_at_s = at_s + SETTLE_EVERY_S
        limit, loop = self._settled_at_once, asyncio.get_running_loop()
        began_s = loop.time()
        try:
            settled = await asyncio.to_thread(self._rollups.settle, self._partition, limit=limit)
        except TelemetryStoreUnavailable as error:
            _log.warning("settling put off", partition=self._partition, error=str(error))
            return
        except Exception:  # noqa: BLE001 - readings are stored all the same, and `settling_behind` tells of what waits
            _log.exception("settling failed", partition=self._partition)
            self._settle_at_s = at_s + SETTLE_AGAIN_AFTER_S
            return
        if settled.quarters == limit:
            self._settle_at_s = at_s
            self._settled_at_once = next_limit(limit, loop.time() - began_s)
        if settled.corrected:
            _log.info("telemetry corrected", partition=self._partition, quarters=settled.corrected)

    async def _watch(self, stop: asyncio.Event) -> None:
        """However long a store may take: the alerts do not wait for it."""
        while not stop.is_set():
            await self.watch_lag()
            await sleep_unless(stop, _WATCH_EVERY_S)

    async def watch_lag(self) -> None:
        lag_s = 0.0
        if self._oldest_at is not None:
            lag_s = self._clock.wall_seconds((self._clock.now() - self._oldest_at).total_seconds())
        await self._lag.note(lag_s)

    async def store(self, batches: Sequence[StreamedBatch], stop: asyncio.Event) -> None:
        """Store and acknowledge `batches`, in one transaction if they let themselves. Raises StreamUnavailable."""
        if not batches:
            self._oldest_at = None
            return
        self._oldest_at = _received_at(batches[0]) or self._oldest_at
        if self._partition == MALFORMED:
            await self._each(batches, self._parking.park_malformed, stop)
            return
        if any(batch.deliveries > MAX_TRIES for batch in batches):
            await self._each(batches, self._store_one, stop, suspected=batches[0])
            return
        try:
            readings = joined([unpack(batch.body).readings for batch in batches])
            write = self._store.write_readings
            await asyncio.to_thread(write, self._partition, batches[-1].stream_seq, readings)
        except Exception as error:  # noqa: BLE001 - whatever it was, each batch is now tried on its own
            _log.warning("batches do not go in together", partition=self._partition, error=str(error))
            await self._each(batches, self._store_one, stop)
        else:
            await self._stream.acknowledge_all(batches)

    async def _each(
        self,
        batches: Sequence[StreamedBatch],
        handle: Callable[[StreamedBatch], Awaitable[None]],
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
        handle: Callable[[StreamedBatch], Awaitable[None]],
        waiting: Sequence[StreamedBatch],
        stop: asyncio.Event,
    ) -> bool:
        """Handle `batch` or park it; False when `stop` came first and it stays in the log."""
        tries, pause_s = 0, self._first_pause_s
        while True:
            try:
                await handle(batch)
            except TelemetryStoreUnavailable as error:
                _log.warning("telemetry store not reached", partition=self._partition, error=str(error))
            except Exception as error:  # noqa: BLE001 - parked with its reason after MAX_TRIES
                tries += 1
                _log.warning("batch failed", seq=batch.stream_seq, tries=tries, error=str(error))
                if (tries >= MAX_TRIES or isinstance(error, MalformedBatch)) and await self._parking.parked(
                    batch, error
                ):
                    return True
            else:
                return True
            for one in waiting:
                await self._stream.still_working(one)
            await sleep_unless(stop, pause_s)
            if stop.is_set():
                return False
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _store_one(self, batch: StreamedBatch) -> None:
        readings = unpack(batch.body).readings
        await asyncio.to_thread(self._store.write_readings, self._partition, batch.stream_seq, readings)


def _received_at(batch: StreamedBatch) -> datetime | None:
    """None for one that cannot be read."""
    try:
        return received_at(batch.body)
    except MalformedBatch:
        return None


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
    shares: PartitionShares | None = None,
) -> None:
    """Until `stop`, on the partitions that are this worker's share; without `shares`, on all of them.

    Without `rollups` the store makes its rollups itself.
    """

    def aggregator(partition: int) -> Aggregator:
        return Aggregator(
            partition=partition,
            stream=stream,
            store=store,
            dead_letters=dead_letters,
            alerts=alerts,
            clock=clock,
            rollups=rollups,
        )

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_house(stream, store, clock, stop))
        if shares is None:
            for partition in ALL_PARTITIONS:
                tasks.create_task(aggregator(partition).run(stop))
        else:
            tasks.create_task(work_on_share(shares, lambda p, ended: aggregator(p).run(ended), stop))
