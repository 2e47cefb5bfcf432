import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec
import pytest

from application.ports.telemetry.rollups import FinalizeResult
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.ports.telemetry.stream import StreamedBatch, StreamUnavailable
from application.telemetry.ingest.batch_codec import MalformedMessages, ReadingBatch, pack
from application.telemetry.ingest.message_parser import MalformedReading
from domain.telemetry.meter_reading import MALFORMED, MeterReading, partition_of
from interfaces.workers.aggregate import aggregate
from interfaces.workers.aggregate import rollup_finalizing as settling
from interfaces.workers.aggregate.aggregate import BATCHES_AT_ONCE, MAX_TRIES, Aggregator
from interfaces.workers.aggregate.maintenance import maintain_storage
from interfaces.workers.aggregate.rollup_finalizing import (
    FEWEST_FINALIZED,
    FINALIZE_AGAIN_AFTER_S,
    FIRST_FINALIZED,
    MOST_FINALIZED,
    FinalizingLock,
    PartitionFinalizing,
    next_limit,
)
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.fakes.telemetry.stream import REDELIVER_AFTER_S, FakeTelemetryStream
from tests.open_alerts import look_at_letters
from tests.patience import ANSWER_S

T0 = datetime(2026, 7, 14, tzinfo=UTC)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not condition():  # noqa: ASYNC110 - a store has no event to wait for
            await asyncio.sleep(0.01)


class FailingStore(FakeTelemetryStore):
    """Raises `failures` in turn, then works; counts the calls."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.calls = 0

    def write_readings(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return super().write_readings(partition, stream_seq, readings)


class Aggregating:
    def __init__(self, store: FakeTelemetryStore, *, partition: int = 0) -> None:
        self.store = store
        self.stream = FakeTelemetryStream()
        self.dead_letters = FakeDeadLetters()
        self.alerts = FakeAlertRegistry()
        self.clock = FakeClock(T0)
        self.partition = partition

    def aggregator(self, rollups: FakeTelemetryRollups | None = None) -> Aggregator:
        return Aggregator(
            partition=self.partition,
            stream=self.stream,
            store=self.store,
            dead_letters=self.dead_letters,
            clock=self.clock,
            rollups=rollups,
            first_pause_s=0.001,
        )

    async def publish(self, *numbers: int) -> None:
        for n in numbers:
            reading = MeterReading("fac-001", "m1", T0 + timedelta(seconds=n), float(n), None)
            body = pack(ReadingBatch(received_at=T0, readings=[reading]))
            await self.stream.publish(self.partition, body, message_id=str(n))

    async def pull(self) -> Sequence[StreamedBatch]:
        return await self.stream.pull(self.partition, limit=64, timeout_s=1)

    def open(self) -> list[tuple[str, str]]:
        look_at_letters(self.dead_letters, self.alerts, at=T0)
        return [(alert.name, alert.subject) for alert in self.alerts.listed()]


@pytest.mark.parametrize("refusals", [0, 3])
def test_batches_pulled_together_are_stored_in_one_transaction_even_after_an_outage(refusals: int) -> None:
    async def scenario() -> None:
        outage = [TelemetryStoreUnavailable("away") for _ in range(refusals)]
        told = Aggregating(store := FailingStore(*outage))
        await told.publish(1, 2, 3)
        await told.aggregator().store(await told.pull(), asyncio.Event())
        assert (store.calls, store.position(0), len(store.readings)) == (refusals + 1, 3, 3)
        assert (await told.stream.fill()).unprocessed == 0

    asyncio.run(scenario())


def test_an_unreachable_store_is_retried_without_limit() -> None:
    async def scenario() -> None:
        outage = [TelemetryStoreUnavailable("away") for _ in range(MAX_TRIES + 3)]
        told = Aggregating(store := FailingStore(*outage))
        await told.publish(1, 2)
        await told.aggregator().store(await told.pull(), asyncio.Event())
        assert len(store.readings) == 2
        assert told.dead_letters.listed() == []
        assert (await told.stream.fill()).unprocessed == 0

    asyncio.run(scenario())


def test_a_batch_that_keeps_failing_is_parked_after_its_tries_and_the_next_is_stored() -> None:
    async def scenario() -> None:
        together, alone = 1, MAX_TRIES
        told = Aggregating(
            store := FailingStore(*[ValueError("no such thing") for _ in range(together + alone)])
        )
        await told.publish(1, 2)
        await told.aggregator().store(await told.pull(), asyncio.Event())
        (letter,) = told.dead_letters.listed()
        assert (letter.queue, letter.reason) == ("telemetry_batch", "ValueError: no such thing")
        assert [r.kw for r in store.readings.values()] == [2.0]
        assert told.open() == [("poison_batch", "partition 0")]
        assert (await told.stream.fill()).unprocessed == 0

    asyncio.run(scenario())


def test_a_replayed_batch_that_fails_again_is_a_new_dead_letter() -> None:
    async def scenario() -> None:
        told = Aggregating(FakeTelemetryStore())
        for message_id in ("first", "replay"):
            await told.stream.publish(0, b"\xc1", message_id=message_id)
            await told.aggregator().store(await told.pull(), asyncio.Event())
        assert len(told.dead_letters.listed()) == 2

    asyncio.run(scenario())


def test_a_temporary_failure_parks_nothing() -> None:
    async def scenario() -> None:
        told = Aggregating(store := FailingStore(*[ValueError("for now")] * MAX_TRIES))
        await told.publish(1)
        await told.aggregator().store(await told.pull(), asyncio.Event())
        assert (len(store.readings), told.dead_letters.listed()) == (1, [])

    asyncio.run(scenario())


class HeldStore(FakeTelemetryStore):
    """A store whose writes block until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.calls = 0

    def write_readings(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        self.calls += 1
        assert self.go_on.wait(ANSWER_S)
        return super().write_readings(partition, stream_seq, readings)


@pytest.mark.parametrize("deliveries", [1, MAX_TRIES + 1], ids=["together", "one by one"])
def test_batches_are_not_delivered_again_while_they_are_being_written(
    monkeypatch: pytest.MonkeyPatch, deliveries: int
) -> None:
    monkeypatch.setattr(aggregate, "REDELIVERY_S", 0.06)

    async def scenario() -> None:
        told = Aggregating(store := HeldStore())
        await told.publish(1, 2)
        batches = [msgspec.structs.replace(batch, deliveries=deliveries) for batch in await told.pull()]
        storing = asyncio.create_task(told.aggregator().store(batches, asyncio.Event()))
        await eventually(lambda: store.calls == 1)
        others = await told.stream.pull(told.partition, limit=64, timeout_s=4 * REDELIVER_AFTER_S)
        store.go_on.set()
        await storing
        assert others == []
        assert (len(store.readings), (await told.stream.fill()).unprocessed) == (2, 0)

    asyncio.run(scenario())


def test_batches_of_a_hanging_write_are_redelivered_after_the_partition_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aggregate, "REDELIVERY_S", 0.06)

    async def scenario() -> None:
        told, given_up = Aggregating(store := HeldStore()), asyncio.Event()
        await told.publish(1)
        storing = asyncio.create_task(told.aggregator().store(await told.pull(), given_up))
        await eventually(lambda: store.calls == 1)
        given_up.set()
        others = await told.stream.pull(told.partition, limit=64, timeout_s=ANSWER_S)
        store.go_on.set()
        await storing
        assert [batch.deliveries for batch in others] == [2]

    asyncio.run(scenario())


def test_a_write_is_completed_although_the_log_becomes_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate, "REDELIVERY_S", 0.03)

    async def scenario() -> None:
        told = Aggregating(store := HeldStore())
        await told.publish(1)
        batches = await told.pull()
        storing = asyncio.create_task(told.aggregator().store(batches, asyncio.Event()))
        await eventually(lambda: store.calls == 1)
        told.stream.available = False
        await asyncio.sleep(0.1)
        store.go_on.set()
        with pytest.raises(StreamUnavailable):  # raised by the acknowledgement
            await storing
        assert len(store.readings) == 1

    asyncio.run(scenario())


def test_a_stop_during_an_outage_returns_the_batches_for_immediate_redelivery() -> None:
    async def scenario() -> None:
        store = FailingStore()
        store.available = False
        told = Aggregating(store)
        await told.publish(1, 2)
        stop = asyncio.Event()
        working = asyncio.create_task(told.aggregator().store(await told.pull(), stop))
        await asyncio.sleep(0.05)
        stop.set()
        await working
        assert (await told.stream.fill()).unprocessed == 2
        again = await told.stream.pull(0, limit=64, timeout_s=0.0)
        assert [batch.stream_seq for batch in again] == [1, 2]

    asyncio.run(scenario())


def test_a_repeated_malformed_message_becomes_one_dead_letter_per_hour() -> None:
    async def scenario() -> None:
        told = Aggregating(FakeTelemetryStore(), partition=MALFORMED)
        one = MalformedReading("meters/a/b/readings", "not JSON", b"\xff\0")
        for number, after_s in enumerate((0, 1, 3_600)):
            at = T0 + timedelta(seconds=after_s)
            body = pack(MalformedMessages(received_at=at, malformed=[one]))
            await told.stream.publish(MALFORMED, body, message_id=str(number))
        await told.aggregator().store(await told.pull(), asyncio.Event())
        an_hour_later, letter = told.dead_letters.listed(queue="meter_message")
        assert an_hour_later.parked_at == T0 + timedelta(hours=1)
        assert (letter.subject, letter.reason, letter.body) == ("meters/a/b/readings", "not JSON", b"\xff\0")
        assert letter.parked_at == T0
        assert (await told.stream.fill()).unprocessed == 0

    asyncio.run(scenario())


def test_ended_quarter_hours_are_finalized_while_the_worker_writes() -> None:
    async def scenario() -> None:
        store = FailingStore()
        told = Aggregating(store, partition=partition_of("fac-001"))
        rollups = FakeTelemetryRollups(store, told.clock)
        aggregator = told.aggregator(rollups)
        await told.publish(1)
        stop = asyncio.Event()
        working = asyncio.create_task(aggregator.run(stop))
        await eventually(lambda: bool(store.readings))
        told.clock.moment = T0 + timedelta(minutes=21)
        await eventually(lambda: bool(rollups.finalized))
        stop.set()
        await working
        assert list(rollups.finalized) == [("fac-001", T0)]

    asyncio.run(scenario())


def test_the_finalization_limit_adapts_to_the_duration_of_the_last_run() -> None:
    limits = [FIRST_FINALIZED]
    for took_s in (0.01, 0.01, 0.01, 0.01, 0.07, 0.5, 0.5, 9.0, 9.0, 9.0, 9.0):
        limits.append(next_limit(limits[-1], took_s))
    assert limits == [25, 50, 100, 200, MOST_FINALIZED, 200, 100, 50, 25, 12, 6, FEWEST_FINALIZED]


def test_remaining_quarter_hours_are_finalized_without_a_pause() -> None:
    class Large(FakeTelemetryRollups):
        left = 3

        def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
            self.left -= 1
            return FinalizeResult(quarters=1, more=self.left > 0)

    async def scenario() -> None:
        told = Aggregating(FailingStore())
        rollups = Large(FailingStore(), told.clock)
        settling = PartitionFinalizing(0, rollups, FinalizingLock())
        for left in (2, 1, 0, 0):
            await settling.finalize_if_due(7.0)
            assert rollups.left == left

    asyncio.run(scenario())


def test_the_finalization_limit_follows_the_number_that_was_finalized() -> None:
    class Large(FakeTelemetryRollups):
        limits: ClassVar[list[int]] = []

        def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
            self.limits.append(limit)
            time.sleep(settling.FINALIZING_LASTS_S)
            return FinalizeResult(quarters=min(limit, 12 if len(self.limits) < 3 else 1), more=True)

    async def scenario() -> None:
        told = Aggregating(FailingStore())
        partition = PartitionFinalizing(0, Large(FailingStore(), told.clock), FinalizingLock())
        for _ in range(4):
            await partition.finalize_if_due(7.0)

    asyncio.run(scenario())
    first, second, third, fourth = Large.limits
    assert first == FIRST_FINALIZED
    assert FEWEST_FINALIZED <= second <= 12, "at most half as many after a slow run"
    assert third <= second
    assert fourth == FEWEST_FINALIZED


def test_after_a_stop_no_partition_that_waits_begins_to_finalize() -> None:
    """While the store is away each of them would wait for it in turn, and the worker would not end."""
    is_under_way, may_end = threading.Event(), threading.Event()

    class Hanging(FakeTelemetryRollups):
        calls = 0

        def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
            self.calls += 1
            is_under_way.set()
            may_end.wait()
            raise TelemetryStoreUnavailable("away")

    async def scenario() -> None:
        told, lock, stop = Aggregating(FailingStore()), FinalizingLock(), asyncio.Event()
        rollups = Hanging(FailingStore(), told.clock)
        partitions = [PartitionFinalizing(number, rollups, lock) for number in range(4)]
        running = [asyncio.create_task(partition.run(stop)) for partition in partitions]
        await asyncio.to_thread(is_under_way.wait)
        stop.set()
        may_end.set()
        await asyncio.gather(*running)
        assert rollups.calls == 1

    asyncio.run(scenario())


def test_finalization_is_postponed_during_a_catch_up_but_not_beyond_a_limit() -> None:
    class Counted(FakeTelemetryRollups):
        calls = 0

        def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
            self.calls += 1
            return FinalizeResult()

    async def scenario() -> None:
        told = Aggregating(FailingStore())
        rollups = Counted(FailingStore(), told.clock)
        partition = PartitionFinalizing(0, rollups, FinalizingLock())
        now_s = asyncio.get_running_loop().time()
        partition.note(is_behind=True)
        await partition.finalize_if_due(now_s + 100.0)
        partition.note(is_behind=True)
        await partition.finalize_if_due(now_s + settling.POSTPONED_AT_MOST_S - 1.0)
        assert rollups.calls == 0
        await partition.finalize_if_due(now_s + settling.POSTPONED_AT_MOST_S + 5.0)
        assert rollups.calls == 1
        partition.note(is_behind=False)
        partition.note(is_behind=True)
        await partition.finalize_if_due(now_s + settling.POSTPONED_AT_MOST_S - 1.0)
        assert rollups.calls == 1
        partition.note(is_behind=False)
        await partition.finalize_if_due(now_s + settling.POSTPONED_AT_MOST_S + 50.0)
        assert rollups.calls == 2

    asyncio.run(scenario())


def test_a_partition_with_more_batches_than_one_pull_is_behind() -> None:
    class Noting(PartitionFinalizing):
        noted: ClassVar[list[bool]] = []

        def note(self, *, is_behind: bool) -> None:
            self.noted.append(is_behind)

    async def scenario() -> None:
        store = FakeTelemetryStore()
        told = Aggregating(store, partition=partition_of("fac-001"))
        aggregator, stop = told.aggregator(FakeTelemetryRollups(store, told.clock)), asyncio.Event()
        aggregator._finalizing = Noting(
            told.partition, FakeTelemetryRollups(store, told.clock), FinalizingLock()
        )
        for number in range(2 * BATCHES_AT_ONCE):
            await told.publish(number)
        working = asyncio.create_task(aggregator.run(stop))
        await eventually(lambda: len(Noting.noted) >= 2)
        stop.set()
        await working
        assert Noting.noted[:2] == [True, False]

    asyncio.run(scenario())


def test_an_error_during_finalization_does_not_delay_readings() -> None:
    class Failing(FakeTelemetryRollups):
        calls = 0

        def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
            self.calls += 1
            raise ArithmeticError("a quarter-hour that nobody foresaw")

    async def scenario() -> None:
        store = FailingStore()
        told = Aggregating(store, partition=partition_of("fac-001"))
        rollups = Failing(store, told.clock)
        aggregator, stop = told.aggregator(rollups), asyncio.Event()
        working = asyncio.create_task(aggregator.run(stop))
        await eventually(lambda: rollups.calls > 0)
        await told.publish(1)
        await eventually(lambda: bool(store.readings))
        stop.set()
        await working
        assert rollups.calls == 1
        again = PartitionFinalizing(0, rollups, FinalizingLock())
        now_s = asyncio.get_running_loop().time()
        for after_s, calls in ((0.0, 2), (FINALIZE_AGAIN_AFTER_S - 1.0, 2), (FINALIZE_AGAIN_AFTER_S, 3)):
            await again.finalize_if_due(now_s + after_s)
            assert rollups.calls == calls, "a retry follows only after the pause"

    asyncio.run(scenario())


def test_partitions_are_finalized_one_at_a_time_and_after_pending_writes() -> None:
    class Slow(FakeTelemetryRollups):
        at_once = most_at_once = calls = 0

        def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
            self.calls += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            time.sleep(0.02)
            self.at_once -= 1
            return FinalizeResult()

    async def scenario() -> None:
        told, turn = Aggregating(FailingStore()), FinalizingLock()
        rollups = Slow(FailingStore(), told.clock)
        partitions = [PartitionFinalizing(partition, rollups, turn) for partition in range(4)]
        with turn.writing():
            waiting = [asyncio.create_task(one.finalize_if_due(0.0)) for one in partitions]
            await asyncio.sleep(0.1)
            assert rollups.calls == 0
        await asyncio.gather(*waiting)
        assert (rollups.calls, rollups.most_at_once) == (4, 1)

    asyncio.run(scenario())


def test_a_worker_that_always_writes_still_finalizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "WAITS_FOR_WRITES_S", 0.01)

    async def scenario() -> None:
        turn, done = FinalizingLock(), False
        with turn.writing():
            async with turn.finalizing():
                done = True
        assert done

    asyncio.run(scenario())


@pytest.mark.parametrize(("body_bytes", "left"), [(700, 1), (1_100, 0)])
def test_a_log_that_fills_up_is_trimmed_of_stored_messages(body_bytes: int, left: int) -> None:
    async def scenario() -> None:
        stream, stop = FakeTelemetryStream(max_bytes=1_250), asyncio.Event()
        await stream.publish(0, b"x" * body_bytes, message_id="1")
        (batch,) = await stream.pull(0, limit=1, timeout_s=1)
        await stream.acknowledge(batch)
        house = asyncio.create_task(maintain_storage(stream, FakeTelemetryStore(), FakeClock(T0), stop))
        await asyncio.sleep(0.2)
        stop.set()
        await house
        assert (await stream.fill()).messages == left

    asyncio.run(scenario())
