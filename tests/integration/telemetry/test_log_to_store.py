"""From the telemetry log to the store: exact counts after kills, outages, replays and poison."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from nats.js import api

from adapters.nats.telemetry_stream import STREAM, NatsTelemetryStream, consumer_of
from application.telemetry.ingest.batch_codec import ReadingBatch, pack, unpack
from domain.telemetry.meter_reading import PARTITIONS, MeterReading, partition_of
from domain.time_series.windows import TimeWindow
from tests.integration.telemetry.conftest import AFTER_A_KILL_S, TelemetryPath, eventually
from tests.stored_intervals import interval_series

ROOT = Path(__file__).parents[3]
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
START = NOW - timedelta(hours=2)
HOUR = TimeWindow(START, START + timedelta(hours=1))
FACILITIES = [f"fac-{n:03}" for n in range(8)]


def quarter_hours(facility: str, *, kw: float = 10.0) -> list[MeterReading]:
    """Readings of an hour, one every 15 s."""
    return [MeterReading(facility, "m1", START + timedelta(seconds=15 * n), kw, None) for n in range(240)]


async def publish(
    stream: NatsTelemetryStream, partition: int, readings: Sequence[MeterReading], name: str
) -> int:
    body = pack(ReadingBatch(received_at=datetime.now(UTC), readings=list(readings)))
    return await stream.publish(partition, body, message_id=name)


async def publish_all(stream: NatsTelemetryStream, *, size: int = 20) -> int:
    """Publish the hour of every facility in batches of `size`, in random order per facility; returns the number of
    readings."""
    count = 0
    for facility in FACILITIES:
        batches = [quarter_hours(facility)[n : n + size] for n in range(0, 240, size)]
        random.Random(facility).shuffle(batches)
        for number, batch in enumerate(batches):
            await publish(stream, partition_of(facility), batch, f"{facility}-{number}")
            count += len(batch)
    return count


def assert_exact(path: TelemetryPath, *, kw: float = 10.0) -> None:
    assert path.count("meter_readings") == 240 * len(FACILITIES)
    block = path.store.interval_series_of(FACILITIES, HOUR)
    assert block.mean_kw.tolist() == [[kw] * 4] * len(FACILITIES)
    assert block.coverage_pct.tolist() == [[100.0] * 4] * len(FACILITIES)


async def all_done(stream: NatsTelemetryStream, *, within_s: float = 60) -> None:
    for _ in range(int(within_s * 10)):
        if (await stream.fill()).unprocessed == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the log still contains work: {await stream.fill()}")


def start_worker(path: TelemetryPath) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-m",
        "tests.integration.telemetry.aggregate_process",
        path.database.app_dsn,
        path.servers.nats_url,
    ]
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    return worker


def test_killing_aggregate_workers_loses_nothing_and_counts_nothing_twice(path: TelemetryPath) -> None:
    """Each worker is killed with SIGKILL once the store has grown."""

    async def scenario() -> None:
        async with path.stream(again_after_s=AFTER_A_KILL_S) as stream:
            assert await publish_all(stream, size=1) == 240 * len(FACILITIES)
            kills_in_flight = 0
            for _ in range(4):
                before = path.count("meter_readings")
                worker = await asyncio.to_thread(start_worker, path)
                try:
                    await eventually(partial(went_on, path, before))
                finally:
                    worker.kill()
                    worker.wait()
                kills_in_flight += (await stream.fill()).unprocessed > 0
            assert kills_in_flight > 0
            async with path.aggregating(stream):
                await all_done(stream)
        assert_exact(path)

    asyncio.run(scenario())
    assert path.dead_letters.listed() == []


def test_two_workers_share_the_partitions_and_count_nothing_twice(path: TelemetryPath) -> None:
    async def scenario() -> None:
        async with path.stream() as one, path.stream() as other:
            await publish_all(one)
            async with path.aggregating(one), path.aggregating(other):
                await all_done(one)
        assert_exact(path)

    asyncio.run(scenario())


def test_replaying_the_whole_log_changes_nothing(path: TelemetryPath) -> None:
    async def scenario() -> None:
        async with path.stream() as stream:
            await publish_all(stream)
            async with path.aggregating(stream):
                await all_done(stream)
            assert_exact(path)
            before = rows(path)
            for partition in range(PARTITIONS):
                await stream._jetstream.delete_consumer(STREAM, consumer_of(partition))
            await stream.ensure()
            assert (await stream.fill()).unprocessed == (await stream.fill()).messages > 0
            async with path.aggregating(stream):
                await all_done(stream)
        assert rows(path) == before

    asyncio.run(scenario())


def went_on(path: TelemetryPath, before: int) -> bool:
    return path.count("meter_readings") > before or before == 240 * len(FACILITIES)


def rows(path: TelemetryPath) -> list[object]:
    with path.pool.connection() as conn:
        return [
            conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3".encode()).fetchall()
            for table in ("meter_readings", "interval_readings", "current_values")
        ]


def test_a_late_reading_corrects_its_interval(path: TelemetryPath) -> None:
    async def scenario() -> None:
        readings = quarter_hours("fac-001")
        late = MeterReading("fac-001", "m1", START + timedelta(seconds=7), 71.0, None)
        async with path.stream() as stream, path.aggregating(stream):
            await publish(stream, partition_of("fac-001"), readings, "on time")
            await all_done(stream)
            await publish(stream, partition_of("fac-001"), [late], "late")
            await all_done(stream)
        assert interval_series(path.store, "fac-001", HOUR).values.tolist() == [11.0, 10.0, 10.0, 10.0]

    asyncio.run(scenario())


def test_a_poison_batch_is_parked_with_its_reason_and_the_partition_continues(path: TelemetryPath) -> None:
    async def scenario() -> None:
        poisoned = [MeterReading("fac-001", "m\0", START, 1.0, None)]
        async with path.stream() as stream:
            await publish(stream, 5, quarter_hours("fac-001")[:120], "before")
            await publish(stream, 5, poisoned, "poison")
            await stream.publish(5, b"\xc1 no batch", message_id="garbage")
            last = await publish(stream, 5, quarter_hours("fac-001")[120:], "after")
            path.dead_letters.failures = 2  # the batch stays in the log until it is parked
            async with path.aggregating(stream):
                await all_done(stream)
        assert path.count("meter_readings") == 240
        assert path.store.position(5) == last
        letters = sorted(path.dead_letters.listed(queue="telemetry_batch"), key=lambda one: one.subject)
        assert [letter.subject for letter in letters] == [
            "partition 5, sequence 2",
            "partition 5, sequence 3",
        ]
        assert letters[0].reason.startswith("ReadingsRefused: CharacterNotInRepertoire")
        assert unpack(letters[0].body).readings == poisoned
        assert letters[1].reason.startswith("MalformedBatch")
        assert letters[1].body == b"\xc1 no batch"
        assert ("poison_batch", "partition 5") in path.open_alerts()

    asyncio.run(scenario())


def test_workers_wait_for_a_stopped_database_and_park_nothing(path: TelemetryPath) -> None:
    async def scenario() -> None:
        async with path.stream(again_after_s=AFTER_A_KILL_S) as stream, path.aggregating(stream):
            await publish(stream, 1, quarter_hours("fac-000"), "before")
            await all_done(stream)
            await asyncio.to_thread(path.postgres.kill)
            try:
                for facility in FACILITIES[1:]:
                    await publish(stream, partition_of(facility), quarter_hours(facility), facility)
                await asyncio.sleep(4.0)
                assert (await stream.fill()).unprocessed == len(FACILITIES) - 1
            finally:
                await asyncio.to_thread(path.postgres.start)
            await all_done(stream)
        assert_exact(path)
        assert path.dead_letters.listed() == []

    asyncio.run(scenario())


def test_a_batch_that_repeatedly_ends_its_worker_is_parked(path: TelemetryPath) -> None:
    async def scenario() -> None:
        async with path.stream() as stream:
            await publish(stream, 5, quarter_hours("fac-001")[:1], "crasher")
            await publish(stream, 5, quarter_hours("fac-001")[1:2], "innocent")
            config = api.ConsumerConfig(
                durable_name=consumer_of(5),
                filter_subject="telemetry.5",
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=0.05,
            )
            await stream._jetstream.delete_consumer(STREAM, consumer_of(5))
            await stream._jetstream.add_consumer(STREAM, config)
            for _ in range(26):  # delivered 26 times to workers that died
                await stream.pull(5, limit=1, timeout_s=2)
                await asyncio.sleep(0.1)
            async with path.aggregating(stream):
                await all_done(stream)
        (letter,) = path.dead_letters.listed(queue="telemetry_batch")
        assert letter.subject == "partition 5, sequence 1"
        assert "without being finished" in letter.reason
        assert path.count("meter_readings") == 1

    asyncio.run(scenario())
