"""A batch of readings is one span where it is published, however many messages and readings it has."""

import asyncio
from datetime import UTC, datetime

from application.telemetry.ingest.batcher import ReadingPacker
from domain.telemetry.meter_reading import MeterReading
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.patience import ANSWER_S
from tests.recorded_spans import RecordedSpans, recorded_spans

NOW = datetime(2026, 7, 14, tzinfo=UTC)
TRACE, DEVICE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{DEVICE}-01"
MESSAGES = 30


class HeaderLog(FakeTelemetryStream):
    """Keeps the `traceparent` of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[str | None] = []

    async def publish(
        self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
    ) -> int:
        self.headers.append(traceparent)
        return await super().publish(partition, body, message_id=message_id, traceparent=traceparent)


async def published(traceparent: str | None) -> list[str | None]:
    """The headers of one batch of MESSAGES messages, of which the last has a trace."""
    stream, stop, confirmed = HeaderLog(), asyncio.Event(), asyncio.Event()
    packer = ReadingPacker(stream)
    running = asyncio.create_task(packer.run(stop))
    await asyncio.sleep(0)
    for number in range(MESSAGES):
        is_last = number == MESSAGES - 1
        reading = MeterReading("fac-001", f"m{number}", NOW, 1.0, 2.0)
        confirm = confirmed.set if is_last else lambda: None
        packer.put(
            "fac-001", [reading, reading], [], confirm, at=NOW, traceparent=traceparent if is_last else None
        )
    async with asyncio.timeout(ANSWER_S):
        await confirmed.wait()
    stop.set()
    await running
    return stream.headers


def with_spans(traceparent: str | None) -> tuple[RecordedSpans, list[str | None]]:
    with recorded_spans() as recorder:
        return recorder, asyncio.run(published(traceparent))


def test_a_batch_is_one_span_below_that_of_the_device_and_goes_on_as_its_parent() -> None:
    recorder, [header] = with_spans(SENT)
    [span] = recorder.spans
    assert (span.name, span.trace_id, span.parent_id) == ("publish telemetry batch", TRACE, DEVICE)
    assert header == f"00-{TRACE}-{span.span_id}-01"
    assert span.attributes["gridproof.messages"] == MESSAGES


def test_a_batch_without_a_trace_begins_one() -> None:
    recorder, [header] = with_spans(None)
    [span] = recorder.spans
    assert span.parent_id is None
    assert header == f"00-{span.trace_id}-{span.span_id}-01"


def test_without_a_collector_a_batch_has_the_trace_of_its_device_or_none() -> None:
    assert asyncio.run(published(SENT)) == [SENT]
    assert asyncio.run(published(None)) == [None]
