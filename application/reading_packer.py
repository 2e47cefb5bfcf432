"""Packs readings per partition and hands them to the telemetry log; says "kept" only once the log holds them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec
import structlog

from application.ports.clock import Clock
from application.ports.telemetry_stream import StreamUnavailable, TelemetryStream
from application.readings import MalformedMessages, MalformedReading, ReadingBatch, pack
from domain.meter_reading import MALFORMED, PARTITIONS, MeterReading, partition_of

_log = structlog.get_logger(__name__)

_READING_BYTES = 96
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 2.0


class _Entry(msgspec.Struct, frozen=True, eq=False):
    """What came in one message, waiting to be kept."""

    items: Sequence[MeterReading] | Sequence[MalformedReading]
    size: int
    kept: asyncio.Future[None]
    traceparent: str | None = None


class _Buffer:
    """The entries of one partition that no packed message holds yet."""

    def __init__(self) -> None:
        self.entries: deque[_Entry] = deque()
        self.size = 0
        self.arrived = asyncio.Event()
        self.full = asyncio.Event()

    def put(self, entry: _Entry, *, full_at: int) -> None:
        self.entries.append(entry)
        self.size += entry.size
        self.arrived.set()
        if self.size >= full_at:
            self.full.set()

    def taken(self, max_bytes: int) -> list[_Entry]:
        taken: list[_Entry] = []
        size = 0
        while self.entries and (not taken or size + self.entries[0].size <= max_bytes):
            taken.append(self.entries.popleft())
            size += taken[-1].size
        self.size -= size
        if not self.entries:
            self.arrived.clear()
        self.full.clear()
        return taken


class ReadingPacker:
    """Flushes a partition after `flush_after_s` wall seconds, or sooner at `batch_bytes`.

    At most `max_buffered_bytes` wait in all: beyond that `keep` answers False at once.
    """

    def __init__(
        self,
        stream: TelemetryStream,
        clock: Clock,
        *,
        flush_after_s: float = 0.05,
        batch_bytes: int = 64_000,
        max_buffered_bytes: int = 8_000_000,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._flush_after_s = flush_after_s
        self._batch_bytes = batch_bytes
        self._max_buffered_bytes = max_buffered_bytes
        self._buffered_bytes = 0
        self._buffers = [_Buffer() for _ in range(PARTITIONS + 1)]
        self._refused_since: dict[int, float] = {}

    @property
    def refused_for_s(self) -> float:
        """For how many wall seconds the log has been refusing some partition; 0 when it takes everything."""
        now = asyncio.get_running_loop().time()
        return max((now - since for since in self._refused_since.values()), default=0.0)

    async def keep(
        self,
        readings: Sequence[MeterReading],
        malformed: Sequence[MalformedReading] = (),
        *,
        traceparent: str | None = None,
    ) -> bool:
        """Whether the log holds all of them now; waits until it does. False: no room, nothing was buffered.

        `readings` are of one facility.
        """
        size = sum(_READING_BYTES + len(r.extra or "") for r in readings)
        malformed_size = sum(_READING_BYTES + len(m.body) + len(m.topic) + len(m.reason) for m in malformed)
        if self._buffered_bytes + size + malformed_size > self._max_buffered_bytes:
            return False
        waits = []
        if readings:
            waits.append(self._put(partition_of(readings[0].facility_id), readings, size, traceparent))
        if malformed:
            waits.append(self._put(MALFORMED, malformed, malformed_size, traceparent))
        await asyncio.gather(*waits)
        return True

    def _put(
        self,
        partition: int,
        items: Sequence[MeterReading] | Sequence[MalformedReading],
        size: int,
        traceparent: str | None,
    ) -> asyncio.Future[None]:
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffers[partition].put(_Entry(items, size, kept, traceparent), full_at=self._batch_bytes)
        self._buffered_bytes += size
        return kept

    async def run(self, stop: asyncio.Event) -> None:
        """Flush until `stop`; then what still waits is given up unkept, and its senders send it again."""
        flushers = [asyncio.create_task(self._flush(p)) for p in range(len(self._buffers))]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*flushers, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*flushers, stopped):
                task.cancel()
            await asyncio.gather(*flushers, stopped, return_exceptions=True)
            self._give_up()

    def _give_up(self) -> None:
        for buffer in self._buffers:
            for entry in buffer.taken(self._max_buffered_bytes):
                self._release(entry, lambda kept: kept.cancel())

    async def _flush(self, partition: int) -> None:
        buffer = self._buffers[partition]
        while True:
            await buffer.arrived.wait()
            try:
                async with asyncio.timeout(self._flush_after_s):
                    await buffer.full.wait()
            except TimeoutError:
                pass  # the usual case: time, not size, ends the wait
            entries = buffer.taken(self._batch_bytes)
            try:
                await self._publish(partition, entries)
            except BaseException:
                for entry in entries:
                    self._release(entry, lambda kept: kept.cancel())
                raise
            for entry in entries:
                self._release(entry, lambda kept: kept.set_result(None))

    def _release(self, entry: _Entry, settle: Callable[[asyncio.Future[None]], object]) -> None:
        self._buffered_bytes -= entry.size
        if not entry.kept.done():
            settle(entry.kept)

    async def _publish(self, partition: int, entries: Sequence[_Entry]) -> None:
        """Until the log holds it. The id is of the content, so that a repeat after a lost answer is kept once."""
        body = pack(self._packed(partition, entries))
        message_id = blake2b(body, digest_size=16).hexdigest()
        traceparent = next((e.traceparent for e in entries if e.traceparent), None)
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                await self._stream.publish(partition, body, message_id=message_id, traceparent=traceparent)
            except StreamUnavailable as error:
                if partition not in self._refused_since:
                    self._refused_since[partition] = asyncio.get_running_loop().time()
                    _log.warning("the telemetry log takes nothing", partition=partition, error=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_RETRY_S)
            else:
                self._refused_since.pop(partition, None)
                return

    def _packed(self, partition: int, entries: Sequence[_Entry]) -> ReadingBatch | MalformedMessages:
        now = self._clock.now()
        if partition == MALFORMED:
            malformed = [i for entry in entries for i in entry.items if isinstance(i, MalformedReading)]
            return MalformedMessages(received_at=now, malformed=malformed)
        readings = [i for entry in entries for i in entry.items if isinstance(i, MeterReading)]
        return ReadingBatch(received_at=now, readings=readings)
