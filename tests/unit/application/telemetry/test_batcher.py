import asyncio
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from application.ports.telemetry.stream import StreamUnavailable
from application.telemetry.ingest.batch_codec import unpack, unpack_malformed
from application.telemetry.ingest.batcher import ReadingPacker
from application.telemetry.ingest.message_parser import MalformedReading
from domain.telemetry.meter_reading import MALFORMED, MeterReading, partition_of
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.patience import ANSWER_S
from tests.simulation.runtime.virtual_loop import VirtualLoop

NOW = datetime(2026, 7, 14, tzinfo=UTC)


def readings(facility: str, count: int = 1) -> list[MeterReading]:
    return [MeterReading(facility, f"m{n}", NOW, 1.0, 2.0) for n in range(count)]


class Confirmations:
    """The batcher, and the messages that it confirmed."""

    def __init__(self, packer: ReadingPacker) -> None:
        self.packer = packer
        self.kept: list[str] = []

    def put(
        self,
        name: str,
        given: list[MeterReading],
        malformed: list[MalformedReading] | None = None,
        traceparent: str | None = None,
    ) -> None:
        facility_id = given[0].facility_id if given else "fac-001"
        self.packer.put(
            facility_id,
            given,
            malformed or [],
            lambda: self.kept.append(name),
            at=NOW,
            traceparent=traceparent,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(ANSWER_S):
            while not condition():  # noqa: ASYNC110 - any condition of the test
                await asyncio.sleep(0.005)


def run_with_packer(
    stream: FakeTelemetryStream, scenario: Callable[[Confirmations], Awaitable[None]], **settings: float
) -> None:
    async def run() -> None:
        packer = ReadingPacker(stream, **settings)  # type: ignore[arg-type]
        stop = asyncio.Event()
        running = asyncio.create_task(packer.run(stop))
        try:
            await scenario(Confirmations(packer))
        finally:
            stop.set()
            await running

    asyncio.run(run())


def test_readings_of_one_moment_are_packed_per_partition() -> None:
    stream = FakeTelemetryStream()

    async def scenario(told: Confirmations) -> None:
        for n in range(40):
            told.put(str(n), readings(f"fac-{n:03}", 3))
        await told.until(lambda: len(told.kept) == 40)

    run_with_packer(stream, scenario)
    assert len(stream.kept) <= 8
    got = {(k.partition, r.facility_id) for k in stream.kept for r in unpack(k.body).readings}
    assert got == {(partition_of(f"fac-{n:03}"), f"fac-{n:03}") for n in range(40)}
    assert sum(len(unpack(k.body).readings) for k in stream.kept) == 120
    assert {unpack(k.body).received_at for k in stream.kept} == {NOW}


def test_a_message_is_confirmed_only_after_it_is_stored_in_the_log() -> None:
    stream = FakeTelemetryStream()
    stream.available = False

    async def scenario(told: Confirmations) -> None:
        told.put("a", readings("fac-001"))
        await told.until(lambda: told.packer.pressed_for_s > 0)
        assert told.kept == []
        stream.available = True
        await told.until(lambda: told.kept == ["a"])
        assert told.packer.pressed_for_s == 0
        assert told.packer.buffered_bytes == 0
        assert len(stream.kept) == 1

    run_with_packer(stream, scenario)


def test_the_original_message_is_released_while_its_packed_form_waits() -> None:
    class Message(list[MeterReading]):
        """An object whose garbage collection is observable."""

    stream = FakeTelemetryStream()
    stream.available = False

    async def scenario(told: Confirmations) -> None:
        message = Message(readings("fac-001", 3))
        held = weakref.ref(message)
        told.put("a", message)
        del message
        assert held() is not None
        await told.until(lambda: told.packer.pressed_for_s > 0)
        assert (held(), told.kept) == (None, [])
        stream.available = True
        await told.until(lambda: told.kept == ["a"])

    run_with_packer(stream, scenario)
    assert [len(unpack(k.body).readings) for k in stream.kept] == [3]


def test_a_publish_whose_answer_was_lost_is_repeated_with_the_same_id() -> None:
    stream = FakeTelemetryStream()
    stream.answers_to_lose = 1

    async def scenario(told: Confirmations) -> None:
        told.put("a", readings("fac-001", 5))
        await told.until(lambda: told.kept == ["a"])

    run_with_packer(stream, scenario)
    assert len(stream.kept) == 1


def test_a_message_is_confirmed_after_its_readings_and_its_malformed_parts_are_stored() -> None:
    stream = FakeTelemetryStream()
    bad, worse = MalformedReading("topic", "reason", b"\xff"), MalformedReading("topic", "reason", b"\0")

    async def scenario(told: Confirmations) -> None:
        stream.refused = {MALFORMED}
        told.put("both", readings("fac-001"), [bad])
        told.put("readings", readings("fac-001"))
        await told.until(lambda: told.kept == ["readings"])
        stream.refused = set()
        told.put("worse", [], [worse])
        await told.until(lambda: sorted(told.kept) == ["both", "readings", "worse"])

    run_with_packer(stream, scenario)
    parked = [m for k in stream.kept if k.partition == MALFORMED for m in unpack_malformed(k.body).malformed]
    assert sorted(parked, key=lambda one: one.body) == [worse, bad]


def test_a_full_buffer_accepts_nothing_until_the_log_accepts_a_batch() -> None:
    stream = FakeTelemetryStream()
    stream.available = False

    async def scenario(told: Confirmations) -> None:
        for n in range(100):
            if not told.packer.has_room():
                break
            told.put(str(n), readings("fac-001", 10))
        assert told.packer.buffered_bytes < 11_000
        assert told.packer.pressed_for_s > 0  # full, though nothing was refused yet
        stream.available = True
        await told.until(told.packer.has_room)
        await told.until(lambda: told.packer.pressed_for_s == 0)

    run_with_packer(stream, scenario, max_buffered_bytes=10_000)


class SlowStream(FakeTelemetryStream):
    """Stores everything, and confirms only after `answers_after_s`."""

    answers_after_s = 0.0

    async def publish(
        self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
    ) -> int:
        await asyncio.sleep(self.answers_after_s)
        return await super().publish(partition, body, message_id=message_id, traceparent=traceparent)


def under_load(phases: list[tuple[float, float]]) -> list[float]:
    """For how long the log counts as under pressure at the end of each phase (its response time, its length),
    in virtual seconds. Readings arrive every 50 ms, at the batcher's default limits."""
    stream = SlowStream(max_bytes=10**9)

    async def scenario() -> list[float]:
        packer, pressed = ReadingPacker(stream), []
        for answers_after_s, lasts_s in phases:
            stream.answers_after_s = answers_after_s
            ends_at = asyncio.get_running_loop().time() + lasts_s
            while asyncio.get_running_loop().time() < ends_at:
                packer.put("fac-001", readings("fac-001", 10), [], lambda: None, at=NOW)
                await asyncio.sleep(0.05)
                _ = packer.pressed_for_s
            pressed.append(packer.pressed_for_s)
        await asyncio.sleep(10)
        assert packer.buffered_bytes == 0
        assert packer.pressed_for_s == 0
        return pressed

    loop = VirtualLoop(1)
    try:
        return loop.run_until_complete(scenario())
    finally:
        loop.close_down()


def test_a_slow_log_counts_as_under_pressure_without_refusals_and_with_a_nearly_empty_buffer() -> None:
    (pressed_s,) = under_load([(1.2, 120.0)])
    assert pressed_s > 100


def test_pressure_ends_after_some_seconds_of_quick_answers_and_not_earlier() -> None:
    _, still, quick, slow_again = under_load([(1.2, 60.0), (0.01, 2.0), (0.01, 8.0), (1.2, 10.0)])
    assert still > 50
    assert quick == 0
    assert 0 < slow_again < 10


def test_a_log_that_answers_within_half_a_second_is_not_under_pressure() -> None:
    assert under_load([(0.1, 60.0), (0.5, 60.0)]) == [0, 0]


def test_small_messages_are_packed_into_few_large_batches_during_an_outage() -> None:
    stream = FakeTelemetryStream()
    stream.available = False

    async def scenario(told: Confirmations) -> None:
        for n in range(300):
            told.put(str(n), [MeterReading("fac-001", f"m{n}", NOW, 1.0, 2.0)])
            await asyncio.sleep(0.001)
        stream.available = True
        await told.until(lambda: len(told.kept) == 300)

    run_with_packer(stream, scenario, flush_after_s=0.0)
    sizes = [len(unpack(k.body).readings) for k in stream.kept]
    assert sum(sizes) == 300
    assert len(sizes) <= 40


def test_a_large_batch_is_published_before_the_time_limit() -> None:
    async def scenario(told: Confirmations) -> None:
        told.put("a", readings("fac-001", 100))
        await told.until(lambda: told.kept == ["a"])

    run_with_packer(FakeTelemetryStream(), scenario, flush_after_s=3_600, batch_bytes=5_000)


def test_messages_pending_at_the_stop_are_not_confirmed() -> None:
    async def run() -> None:
        stream = FakeTelemetryStream()
        stream.available = False
        packer = ReadingPacker(stream, flush_after_s=0.001)
        stop = asyncio.Event()
        running = asyncio.create_task(packer.run(stop))
        told = Confirmations(packer)
        told.put("published", readings("fac-001"))
        await told.until(lambda: packer.pressed_for_s > 0)
        told.put("open", readings("fac-001"))
        stop.set()
        await running
        stream.available = True
        await asyncio.sleep(0.3)
        assert told.kept == []
        assert stream.kept == []

    asyncio.run(run())


def test_an_unexpected_publish_error_stops_the_packer() -> None:
    class Broken(FakeTelemetryStream):
        async def publish(
            self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
        ) -> int:
            raise RuntimeError("a mistake of ours")

    async def run() -> None:
        packer = ReadingPacker(Broken())
        running = asyncio.create_task(packer.run(asyncio.Event()))
        await asyncio.sleep(0)
        Confirmations(packer).put("a", readings("fac-001"))
        async with asyncio.timeout(ANSWER_S):
            await running

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        asyncio.run(run())


def test_a_refused_partition_does_not_delay_the_others() -> None:
    stream = FakeTelemetryStream()
    stream.refused = {partition_of("fac-001")}
    other = next(f"fac-{n}" for n in range(99) if partition_of(f"fac-{n}") != partition_of("fac-001"))

    async def scenario(told: Confirmations) -> None:
        told.put("refused", readings("fac-001"))
        told.put("taken", readings(other))
        await told.until(lambda: told.kept == ["taken"])

    run_with_packer(stream, scenario)


def test_a_refused_publish_raises_the_error_of_the_port() -> None:
    stream = FakeTelemetryStream()
    stream.refused = {0}
    with pytest.raises(StreamUnavailable):
        asyncio.run(stream.publish(0, b"", message_id="a"))
