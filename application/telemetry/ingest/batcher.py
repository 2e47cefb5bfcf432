"""Batching of readings per partition into messages of the telemetry log. A message is confirmed once the log
holds it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any, cast

import structlog

from application.command_bus.retry import Pauses, retry_while_unavailable
from application.command_bus.spans import (
    TRACING,
    TracedWork,
    new_trace_id,
    outgoing_traceparent,
    traced,
)
from application.command_bus.trace_context import parse_traceparent
from application.ports.telemetry.meter_feed import Confirm
from application.ports.telemetry.stream import TelemetryStream
from application.telemetry.ingest.batch_codec import MalformedMessages, pack, pack_messages
from application.telemetry.ingest.fast_parser import PlainReadings
from application.telemetry.ingest.message_parser import MalformedReading
from application.telemetry.ingest.original_payloads import ReceivedPayload, pack_payloads
from application.telemetry.ingest.slow_period import SlowPeriod
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS, MeterReading, partition_of

_log = structlog.get_logger(__name__)

_READING_BYTES = 96
_ORIGINAL_BYTES = 400_000
"""A pack with so many bytes of messages as received is closed: with them it stays below the log's 1 MB a message."""
_PAUSES = Pauses(0.1, 2.0)
_PACKS_AT_ONCE = 32
_NEARLY_FULL, _RELIEVED = 0.75, 0.5
_SLOW_S = 1.0
"""A pack normally reaches the log within milliseconds after its flush was due. A broker stops sending ahead
of acknowledgements long before the buffer here is full, so the age of a pack is the only sign of a slow
log."""


class _Pack:
    """Readings or malformed messages of one partition that go into the log together."""

    __slots__ = (
        "confirm",
        "items",
        "original_bytes",
        "originals",
        "partition",
        "received_at",
        "size",
        "traceparent",
    )

    def __init__(self, partition: int, received_at: datetime) -> None:
        self.partition = partition
        self.received_at = received_at
        self.items: list[Any] = []
        """Readings, grouped by message; or malformed messages, in the partition of those."""
        self.confirm: list[Confirm] = []
        self.originals: list[ReceivedPayload] = []
        """The messages of `items`, where they are stored."""
        self.size = self.original_bytes = 0
        self.traceparent: str | None = None

    def packed(self) -> bytes:
        if self.partition == MALFORMED:
            return pack(MalformedMessages(received_at=self.received_at, malformed=self.items))
        originals = pack_payloads(self.originals) if self.originals else None
        return pack_messages(self.items, received_at=self.received_at, originals=originals)


def _traced(held: _Pack) -> TracedWork:
    """A span for the batch, in the trace of the last of its messages that has one."""
    parent = None if held.traceparent is None else parse_traceparent(held.traceparent)
    if parent is None and TRACING.recorder is None:
        return nullcontext()
    return traced(
        "publish telemetry batch",
        new_trace_id() if parent is None else parent.trace_id,
        parent_id=None if parent is None else parent.span_id,
        kind="producer",
        partition=held.partition,
        messages=len(held.confirm),
        bytes=held.size,
    )


class CountdownCallback:
    """For a message whose parts are in two packs: confirms it when both are stored."""

    __slots__ = ("_confirm", "_missing")

    def __init__(self, confirm: Confirm) -> None:
        self._confirm = confirm
        self._missing = 2

    def __call__(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._confirm()


class ReadingPacker:
    """Publishes the readings received within `flush_after_s` wall seconds together, or earlier when a
    partition reaches `batch_bytes`.

    Several packs may be in flight at once and arrive in another order. There is no room once the buffer holds
    `max_buffered_bytes` in packed form, with the messages as received where they are stored; a single message may
    exceed it. Decoded readings take about four times as much memory until they are packed. All methods belong to
    one event loop.
    """

    def __init__(
        self,
        stream: TelemetryStream,
        *,
        flush_after_s: float = 0.1,
        batch_bytes: int = 64_000,
        max_buffered_bytes: int = 16_000_000,
    ) -> None:
        self._stream = stream
        self._flush_after_s = flush_after_s
        self._batch_bytes = batch_bytes
        self._max_buffered_bytes = max_buffered_bytes
        self.buffered_bytes = 0
        """The size of the buffer in packed form."""
        self._open: list[_Pack | None] = [None] * (PARTITIONS + 1)
        self._ready: deque[_Pack] = deque()
        self._is_overdue = False
        self._timer: asyncio.TimerHandle | None = None
        self._publishing: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] | None = None
        self._refused_since: dict[_Pack, float] = {}
        self._full_since: float | None = None
        self._slow_from: dict[_Pack, float] = {}
        """The time from which each pack that the log does not hold yet counts as slow, the oldest first."""
        self._slow = SlowPeriod()

    @property
    def pressed_for_s(self) -> float:
        """The wall seconds for which the log has refused messages, been slow, or left little room; 0 once it
        has accepted everything promptly for some seconds."""
        now = asyncio.get_running_loop().time()
        for slow_from in islice(self._slow_from.values(), 1):
            self._note_slow(slow_from, now)
        since = [*self._refused_since.values()]
        since += [one for one in (self._full_since, self._slow.since(now)) if one is not None]
        return now - min(since) if since else 0.0

    def _note_slow(self, slow_from: float, now: float) -> None:
        if now > slow_from:
            self._slow.note(slow_from, now)

    def has_room(self) -> bool:
        """True if another message may be put."""
        return self.buffered_bytes < self._max_buffered_bytes

    def put(
        self,
        facility_id: str,
        readings: Sequence[MeterReading],
        malformed: Sequence[MalformedReading],
        confirm: Confirm,
        *,
        at: datetime,
        traceparent: str | None = None,
        original: ReceivedPayload | None = None,
    ) -> None:
        """Buffer a message, and call `confirm` once the log holds it. `readings` are of `facility_id`, `at` is now.

        `original` is stored beside its readings, in the same message of the log.
        """
        if readings and malformed:
            confirm = CountdownCallback(confirm)
        if readings:
            size = _READING_BYTES * len(readings)
            if not isinstance(readings, PlainReadings):
                size += sum(len(reading.extra) for reading in readings if reading.extra is not None)
            held = self._opened(partition_of(facility_id), at)
            held.items.append(readings)
            if original is not None:
                held.originals.append(original)
                held.original_bytes += len(original.payload)
                size += len(original.payload)
            self._hold(held, size, confirm, traceparent)
        if malformed:
            size = sum(_READING_BYTES + len(m.body) + len(m.topic) + len(m.reason) for m in malformed)
            held = self._opened(MALFORMED, at)
            held.items += malformed
            self._hold(held, size, confirm, traceparent)

    def _opened(self, partition: int, at: datetime) -> _Pack:
        held = self._open[partition]
        if held is None:
            held = self._open[partition] = _Pack(partition, at)
            self._slow_from[held] = asyncio.get_running_loop().time() + self._flush_after_s + _SLOW_S
            if self._timer is None and not self._is_overdue:
                self._timer = asyncio.get_running_loop().call_later(self._flush_after_s, self._flush)
        return held

    def _hold(self, held: _Pack, size: int, confirm: Confirm, traceparent: str | None) -> None:
        held.confirm.append(confirm)
        held.size += size
        if traceparent is not None:
            held.traceparent = traceparent
        self.buffered_bytes += size
        packed = held.size - held.original_bytes
        if packed >= self._batch_bytes or held.original_bytes >= _ORIGINAL_BYTES:
            self._close(held)
            self._start()
        if self._full_since is None and self.buffered_bytes > _NEARLY_FULL * self._max_buffered_bytes:
            self._full_since = asyncio.get_running_loop().time()

    def _flush(self) -> None:
        self._timer = None
        # While enough packs are in flight, open packs fill up instead: an outage makes large packs, not many.
        self._is_overdue = len(self._publishing) >= _PACKS_AT_ONCE
        if not self._is_overdue:
            for held in self._open:
                if held is not None:
                    self._close(held)
            self._start()

    def _close(self, held: _Pack) -> None:
        self._open[held.partition] = None
        self._ready.append(held)

    def _start(self) -> None:
        while self._ready and len(self._publishing) < _PACKS_AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._publish(self._ready.popleft()))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Unpublished packs are then dropped unconfirmed, and their senders send
        them again.

        Raises the error of a publish, except that the log is unavailable or full.
        """
        self._failed = asyncio.get_running_loop().create_future()
        stopped = asyncio.ensure_future(stop.wait())
        try:
            either: list[asyncio.Future[Any]] = [stopped, self._failed]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
        finally:
            stopped.cancel()
            await self._give_up()

    async def _give_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waiting = list(self._publishing)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        self._open = [None] * len(self._open)
        self._ready.clear()
        self._slow_from.clear()

    async def _publish(self, held: _Pack) -> None:
        """Publish the pack, then those that wait for their turn."""
        try:
            await self._publish_until_held(held)
        except Exception as error:  # noqa: BLE001 - raised by `run`
            _log.error("batch not stored", error=str(error))
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(error)
            return
        self._publishing.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self._start()
        if self._is_overdue:
            self._flush()

    async def _publish_until_held(self, held: _Pack) -> None:
        """Publish until the log holds the pack, and confirm its messages. The message id is a hash of the content, so
        a repeat after a lost answer is stored once."""
        body = held.packed()
        held.items, held.originals = (
            [],
            [],
        )  # Otherwise both forms would be in memory while the log is unavailable.
        message_id = blake2b(body, digest_size=16).hexdigest()
        with _traced(held) as span:
            publish = partial(
                self._stream.publish,
                held.partition,
                body,
                message_id=message_id,
                traceparent=held.traceparent if span is None else str(outgoing_traceparent()),
            )
            await retry_while_unavailable(publish, pauses=_PAUSES, on_retry=partial(self._note_refusal, held))
        self._refused_since.pop(held, None)
        self._note_slow(self._slow_from.pop(held), asyncio.get_running_loop().time())
        self.buffered_bytes -= held.size
        if self._full_since is not None and self.buffered_bytes < _RELIEVED * self._max_buffered_bytes:
            self._full_since = None
        for confirm in held.confirm:
            confirm()

    def _note_refusal(self, held: _Pack, error: Exception) -> None:
        if not self._refused_since:
            _log.warning("the telemetry log refuses messages", partition=held.partition, error=str(error))
        self._refused_since.setdefault(held, asyncio.get_running_loop().time())
