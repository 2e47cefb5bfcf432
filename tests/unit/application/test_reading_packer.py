import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from application.reading_packer import ReadingPacker
from application.readings import MalformedReading, unpack, unpack_malformed
from domain.meter_reading import MALFORMED, MeterReading, partition_of
from tests.fakes.telemetry_stream import FakeTelemetryStream

NOW = datetime(2026, 7, 14, tzinfo=UTC)


@dataclass(frozen=True)
class StoppedClock:
    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


def readings(facility: str, count: int = 1) -> list[MeterReading]:
    return [MeterReading(facility, f"m{n}", NOW, 1.0, 2.0) for n in range(count)]


def tell(
    stream: FakeTelemetryStream, story: Callable[[ReadingPacker], Awaitable[None]], **settings: float
) -> None:
    async def run() -> None:
        packer = ReadingPacker(stream, StoppedClock(), **settings)  # type: ignore[arg-type]
        stop = asyncio.Event()
        running = asyncio.create_task(packer.run(stop))
        try:
            await story(packer)
        finally:
            stop.set()
            await running

    asyncio.run(run())


def test_readings_of_one_moment_travel_packed_per_partition() -> None:
    stream = FakeTelemetryStream()

    async def story(packer: ReadingPacker) -> None:
        kept = await asyncio.gather(*(packer.keep(readings(f"fac-{n:03}", 3)) for n in range(40)))
        assert kept == [True] * 40

    tell(stream, story)
    assert len(stream.kept) <= 8
    got = {(k.partition, r.facility_id) for k in stream.kept for r in unpack(k.body).readings}
    assert got == {(partition_of(f"fac-{n:03}"), f"fac-{n:03}") for n in range(40)}
    assert sum(len(unpack(k.body).readings) for k in stream.kept) == 120


def test_it_says_kept_only_when_the_log_holds_it() -> None:
    stream = FakeTelemetryStream()
    stream.available = False

    async def story(packer: ReadingPacker) -> None:
        waiting = asyncio.create_task(packer.keep(readings("fac-001")))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert packer.refused_for_s > 0
        stream.available = True
        assert await waiting
        assert packer.refused_for_s == 0
        assert len(stream.kept) == 1

    tell(stream, story)


def test_a_lost_answer_is_repeated_under_the_same_id() -> None:
    stream = FakeTelemetryStream()
    stream.answers_to_lose = 1

    async def story(packer: ReadingPacker) -> None:
        assert await packer.keep(readings("fac-001", 5))

    tell(stream, story)
    assert len(stream.kept) == 1


def test_malformed_messages_go_beside_the_readings() -> None:
    stream = FakeTelemetryStream()
    bad, worse = MalformedReading("topic", "reason", b"\xff"), MalformedReading("topic", "reason", b"\0")

    async def story(packer: ReadingPacker) -> None:
        assert await packer.keep(readings("fac-001"), [bad])
        assert await packer.keep([], [worse])

    tell(stream, story)
    parked = [m for k in stream.kept if k.partition == MALFORMED for m in unpack_malformed(k.body).malformed]
    assert parked == [bad, worse]


def test_when_the_buffer_is_full_it_says_so_at_once_and_takes_again_later() -> None:
    stream = FakeTelemetryStream()
    stream.available = False

    async def story(packer: ReadingPacker) -> None:
        first = asyncio.create_task(packer.keep(readings("fac-001", 10)))
        await asyncio.sleep(0)
        assert await packer.keep(readings("fac-002", 10)) is False
        stream.available = True
        assert await first
        assert await packer.keep(readings("fac-002", 10)) is True

    tell(stream, story, max_buffered_bytes=1_000)


def test_a_large_batch_does_not_wait_for_its_time() -> None:
    async def story(packer: ReadingPacker) -> None:
        async with asyncio.timeout(10):
            assert await packer.keep(readings("fac-001", 100))

    tell(FakeTelemetryStream(), story, flush_after_s=3_600, batch_bytes=5_000)


def test_what_still_waits_when_it_stops_is_not_called_kept() -> None:
    async def run() -> None:
        stream = FakeTelemetryStream()
        stream.available = False
        packer = ReadingPacker(stream, StoppedClock())
        stop = asyncio.Event()
        running = asyncio.create_task(packer.run(stop))
        waiting = asyncio.create_task(packer.keep(readings("fac-001")))
        await asyncio.sleep(0.2)
        stop.set()
        await running
        with suppress(asyncio.CancelledError):
            assert await waiting is not True
        assert stream.kept == []

    asyncio.run(run())
