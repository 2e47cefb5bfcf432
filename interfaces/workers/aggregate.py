"""aggregate: the telemetry log into the store, partition by partition; poison is parked and passed by."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid5

import structlog

from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.dead_letters import DeadLetter, DeadLetterQueue, DeadLetters
from application.ports.partition_shares import PartitionShares
from application.ports.telemetry_rollups import TelemetryRollups
from application.ports.telemetry_store import TelemetryStore, TelemetryStoreUnavailable
from application.ports.telemetry_stream import StreamedBatch, StreamUnavailable, TelemetryStream
from application.readings import MalformedBatch, received_at, unpack, unpack_malformed
from domain.meter_reading import ALL_PARTITIONS, MALFORMED
from interfaces.workers.alert_switch import AlertSwitch
from interfaces.workers.lag_alerts import LagAlerts
from interfaces.workers.partition_work import work_on_share

_log = structlog.get_logger(__name__)

DEAD_LETTER_IDS = UUID("6d1f0a52-6d0e-5c1b-9b39-2f1f7a9c5a11")
MAX_TRIES = 5
MAX_DELIVERIES = 25
"""A batch handed out so often without being finished takes its worker down with it.

From MAX_TRIES on batches go in one by one, so that what is innocent leaves the log, and only the first can be it.
"""
BATCHES_AT_ONCE = 64
TRIM_ABOVE = 0.8
WRITE_EVERY_S = 0.25
"""Wall seconds between two transactions of a partition that is not behind: many small ones cost more than they help."""
SETTLE_EVERY_S = 2.0
SETTLED_AT_ONCE = 200
"""Quarter-hours of facilities in one transaction: nobody else writes readings of the partition meanwhile."""
_PULL_FOR_S = 1.0
_WATCH_EVERY_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
_HOUSEKEEPING_EVERY_S = 10.0


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
        self._dead_letters = dead_letters
        self._alerts = alerts
        self._clock = clock
        self._first_pause_s = first_pause_s
        self._rollups = rollups
        self._lag = LagAlerts(alerts, clock, f"partition {partition}")
        self._oldest_at: datetime | None = None
        """When what is in hand was received; None: all is stored."""
        self._settle_at_s = 0.0

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
            began_s = loop.time()
            try:
                batches = await self._stream.pull(
                    self._partition, limit=BATCHES_AT_ONCE, timeout_s=_PULL_FOR_S
                )
                await self.store(batches, stop)
                pause_s = self._first_pause_s
            except StreamUnavailable as error:
                _log.warning("telemetry log not reached", partition=self._partition, error=str(error))
                await _pause(pause_s, stop)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            await self.settle_if_due(loop.time())
            left_s = began_s + WRITE_EVERY_S - loop.time()
            if len(batches) < BATCHES_AT_ONCE and left_s > 0:
                await _pause(left_s, stop)

    async def settle_if_due(self, at_s: float) -> None:
        """Write down the quarter-hours that are over, a few at a time."""
        if self._rollups is None or self._partition == MALFORMED or at_s < self._settle_at_s:
            return
        self._settle_at_s = at_s + SETTLE_EVERY_S
        try:
            settled = await asyncio.to_thread(self._rollups.settle, self._partition, limit=SETTLED_AT_ONCE)
        except TelemetryStoreUnavailable as error:
            _log.warning("settling put off", partition=self._partition, error=str(error))
            return
        if settled.quarters == SETTLED_AT_ONCE:
            self._settle_at_s = at_s
        if settled.corrected:
            _log.info("telemetry corrected", partition=self._partition, quarters=settled.corrected)

    async def _watch(self, stop: asyncio.Event) -> None:
        """However long a store may take: the alerts do not wait for it."""
        while not stop.is_set():
            await self.watch_lag()
            await _pause(_WATCH_EVERY_S, stop)

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
            await self._each(batches, self._park_malformed, stop)
            return
        if any(batch.deliveries > MAX_TRIES for batch in batches):
            await self._each(batches, self._store_one, stop, suspected=batches[0])
            return
        try:
            unpacked = [unpack(batch.body) for batch in batches]
            readings = [reading for batch in unpacked for reading in batch.readings]
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
                if (tries >= MAX_TRIES or isinstance(error, MalformedBatch)) and await self._parked(
                    batch, error
                ):
                    return True
            else:
                return True
            for one in waiting:
                await self._stream.still_working(one)
            if await _pause(pause_s, stop):
                return False
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _store_one(self, batch: StreamedBatch) -> None:
        readings = unpack(batch.body).readings
        await asyncio.to_thread(self._store.write_readings, self._partition, batch.stream_seq, readings)

    async def _park_malformed(self, batch: StreamedBatch) -> None:
        messages = unpack_malformed(batch.body)
        for message in messages.malformed:
            letter = DeadLetter(
                dead_letter_id=_letter_id(
                    "meter_message", message.body, f"{message.topic} {messages.received_at:%Y-%m-%dT%H}"
                ),
                queue="meter_message",
                subject=_text(message.topic),
                reason=_text(message.reason),
                body=message.body,
                parked_at=messages.received_at,
            )
            await self._park(letter)

    async def _parked(self, batch: StreamedBatch, error: Exception) -> bool:
        """Whether the poison is in the dead letters now; only then may it leave the log."""
        subject = f"partition {self._partition}"
        letter = DeadLetter(
            dead_letter_id=_letter_id("telemetry_batch", batch.body, str(batch.stream_seq)),
            queue="telemetry_batch",
            subject=f"{subject}, sequence {batch.stream_seq}",
            reason=_text(f"{type(error).__name__}: {error}"),
            body=batch.body,
            parked_at=self._clock.now(),
        )
        try:
            await self._park(letter)
        except TelemetryStoreUnavailable as unavailable:
            _log.warning("poison not parked yet", seq=batch.stream_seq, error=str(unavailable))
            return False
        switch = AlertSwitch(self._alerts, self._clock, "poison_batch", subject)
        await switch.turn(on=True, detail=f"sequence {batch.stream_seq}: {letter.reason}"[:500])
        return True

    async def _park(self, letter: DeadLetter) -> None:
        try:
            await asyncio.to_thread(self._dead_letters.park, letter)
        except Exception as error:
            # Whatever keeps a dead letter from being kept, the message stays in the log and is tried again.
            raise TelemetryStoreUnavailable(f"dead letter not kept: {error}") from error


def _received_at(batch: StreamedBatch) -> datetime | None:
    """None for one that cannot be read."""
    try:
        return received_at(batch.body)
    except MalformedBatch:
        return None


async def _refuse(batch: StreamedBatch) -> None:
    raise MalformedBatch(f"handed out {batch.deliveries} times without being finished: it ends its worker")


def _letter_id(queue: DeadLetterQueue, body: bytes, occasion: str) -> UUID:
    """Of the content and its occasion: what is handed out again is parked once, but a replay that fails again,
    or a meter that errs again an hour later, is a new letter."""
    return uuid5(DEAD_LETTER_IDS, f"{queue}:{occasion}:{sha256(body).hexdigest()}")


def _text(value: str) -> str:
    return value.replace("\0", "\\0")[:1_000]


async def _pause(seconds: float, stop: asyncio.Event) -> bool:
    """Whether `stop` came during the pause."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


async def keep_house(
    stream: TelemetryStream, store: TelemetryStore, clock: Clock, stop: asyncio.Event
) -> None:
    """Make the next days' partitions ahead of time, and trim what is stored from a log that fills up."""
    while not stop.is_set():
        try:
            fill = await stream.fill()  # first: also while the store is away there must be room in the log
            if fill.stored_bytes > TRIM_ABOVE * fill.max_bytes:
                await stream.trim()
            now = clock.now()
            await asyncio.to_thread(store.prepare_days, now - timedelta(days=1), now + timedelta(days=2))
        except (StreamUnavailable, TelemetryStoreUnavailable) as error:
            _log.warning("telemetry housekeeping put off", error=str(error))
        await _pause(_HOUSEKEEPING_EVERY_S, stop)


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
