"""aggregate: the telemetry log into the store, partition by partition; poison is parked and passed by."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from uuid import UUID, uuid5

import structlog

from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.dead_letters import DeadLetter, DeadLetterQueue, DeadLetters
from application.ports.telemetry_store import TelemetryStore, TelemetryStoreUnavailable
from application.ports.telemetry_stream import StreamedBatch, StreamUnavailable, TelemetryStream
from application.readings import MalformedBatch, ReadingBatch, unpack, unpack_malformed
from domain.meter_reading import MALFORMED, PARTITIONS
from interfaces.workers.alert_switch import AlertSwitch

_log = structlog.get_logger(__name__)

DEAD_LETTER_IDS = UUID("6d1f0a52-6d0e-5c1b-9b39-2f1f7a9c5a11")
MAX_TRIES = 5
MAX_DELIVERIES = 25
"""A batch handed out so often without being finished takes its worker down with it.

From MAX_TRIES on batches go in one by one, so that what is innocent leaves the log, and only the first can be it.
"""
BATCHES_AT_ONCE = 64
LAG_ALERT_S = 15.0
TRIM_ABOVE = 0.8
_PULL_FOR_S = 1.0
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
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._partition = partition
        self._stream = stream
        self._store = store
        self._dead_letters = dead_letters
        self._alerts = alerts
        self._clock = clock
        self._first_pause_s = first_pause_s
        self._lag = AlertSwitch(alerts, clock, "telemetry_lag", f"partition {partition}")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a batch in hand is finished first."""
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
                await _pause(pause_s, stop)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def store(self, batches: Sequence[StreamedBatch], stop: asyncio.Event) -> None:
        """Store and acknowledge `batches`, in one transaction if they let themselves. Raises StreamUnavailable."""
        if not batches:
            await self._lag.turn(on=False)
            return
        if self._partition == MALFORMED:
            await self._each(batches, self._park_malformed, stop)
            return
        if any(batch.deliveries > MAX_TRIES for batch in batches):
            await self._each(batches, self._store_one, stop, suspected=batches[0])
            return
        try:
            unpacked = [unpack(batch.body) for batch in batches]
            await self._watch_lag(unpacked[0])
            readings = [reading for batch in unpacked for reading in batch.readings]
            write = self._store.write_readings
            await asyncio.to_thread(write, self._partition, batches[-1].stream_seq, readings)
        except Exception as error:  # noqa: BLE001 - whatever it was, each batch is now tried on its own
            _log.warning("batches do not go in together", partition=self._partition, error=str(error))
            await self._each(batches, self._store_one, stop)
        else:
            for batch in batches:
                await self._stream.acknowledge(batch)

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

    async def _watch_lag(self, oldest: ReadingBatch) -> None:
        lag: timedelta = self._clock.now() - oldest.received_at
        lag_s = self._clock.wall_seconds(lag.total_seconds())
        await self._lag.turn(on=lag_s > LAG_ALERT_S, detail=f"readings wait {lag_s:.0f} s to be stored")


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
            now = clock.now()
            await asyncio.to_thread(store.prepare_days, now - timedelta(days=1), now + timedelta(days=2))
            fill = await stream.fill()
            if fill.stored_bytes > TRIM_ABOVE * fill.max_bytes:
                await stream.trim()
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
) -> None:
    """All partitions, until `stop`. Several workers may run: each takes what the others do not."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_house(stream, store, clock, stop))
        for partition in (*range(PARTITIONS), MALFORMED):
            aggregator = Aggregator(
                partition=partition,
                stream=stream,
                store=store,
                dead_letters=dead_letters,
                alerts=alerts,
                clock=clock,
            )
            tasks.create_task(aggregator.run(stop))
