"""From a meter's MQTT message to the store, on PostgreSQL and nats-server."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec

from application.raw_archive.original_messages import find_originals
from application.raw_archive.writer import PartitionArchiver
from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from tests.fakes.archive import FakeArchive
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.integration.telemetry.conftest import AFTER_A_KILL_S, TelemetryPath, eventually
from tests.patience import ANSWER_S

NOW = datetime.now(UTC).replace(microsecond=0)


def send(outbox: MqttOutbox, facility: str, number: int, **changes: object) -> None:
    body = {
        "schema": 1,
        "ts": NOW - timedelta(seconds=number),
        "seq": number,
        "kw": 100.0 + number,
        "kwh_total": 5.0,
        **changes,
    }
    outbox.put(f"meters/{facility}/m1/readings", msgspec.json.encode(body))


def test_every_reading_arrives_once_and_becomes_the_current_value(path: TelemetryPath) -> None:
    async def scenario() -> None:
        async with (
            path.stream() as stream,
            path.aggregating(stream),
            path.ingesting(stream, client_id=fresh()),
            path.meters() as outbox,
        ):
            for number in range(400):
                send(outbox, f"fac-{number % 10:03}", number // 10)
            await eventually(lambda: path.count("meter_readings") == 400)
        current = path.store.current([f"fac-{n:03}" for n in range(10)])
        assert [c.kw for c in current] == [100.0] * 10
        assert {c.measured_at for c in current} == {NOW}
        assert path.open_alerts() == set()

    asyncio.run(scenario())


def test_a_message_is_archived_byte_for_byte_as_its_meter_sent_it(path: TelemetryPath) -> None:
    sent = f'{{"ts" : "{NOW.isoformat()}",\n  "kw": 1.250e1, "kwh_total": 5, "firmware": "7\u00fc"}}'.encode()
    log, archive, stream = FakeRawLog(), FakeArchive(), FakeTelemetryStream()

    async def scenario() -> None:
        async with path.meters() as outbox, path.ingesting(stream, client_id=fresh()):
            outbox.put("meters/fac-001/m1/readings", sent)
            await eventually(lambda: len(stream.kept) == 1)
        [pack] = stream.kept
        log.append(pack.partition, pack.body, at=NOW)
        archiver = PartitionArchiver(log, archive, log_id=log.id, partition=pack.partition)
        await archiver.open()
        await archiver.archive_next()

    asyncio.run(scenario())
    [found] = find_originals(archive, "fac-001", "m1", NOW, NOW + timedelta(seconds=1)).messages
    assert (found.payload, [one.kw for one in found.decoded]) == (sent, [12.5])


def fresh() -> str:
    return f"ingest-{uuid4().hex[:8]}"


def test_malformed_messages_are_parked_with_their_reason_and_valid_ones_are_stored(
    path: TelemetryPath,
) -> None:
    async def scenario() -> None:
        async with (
            path.stream() as stream,
            path.aggregating(stream),
            path.ingesting(stream, client_id=fresh()),
            path.meters() as outbox,
        ):
            outbox.put("meters/fac-001/m1/readings", b"not json")
            send(outbox, "fac-001", 0)
            send(outbox, "fac-001", 1, kw=None)
            send(outbox, "fac-001", 2, kw=1e9)
            outbox.put("meters/FAC!/m1/readings", b"{}")
            await eventually(
                lambda: path.count("meter_readings") == 2 and len(path.dead_letters.listed()) == 3
            )
            await eventually(lambda: ("malformed_readings", "fac-001") in path.open_alerts())
        letters = path.dead_letters.listed(queue="meter_message")
        reasons = sorted(letter.reason for letter in letters)
        assert reasons[0].startswith("kw 1e+09 is outside")
        assert reasons[1].startswith("not JSON")
        assert reasons[2].startswith("topic names no valid facility id")
        assert {letter.body for letter in letters} > {b"not json", b"{}"}
        with path.pool.connection() as conn:
            flags = conn.execute("SELECT kw IS NULL, incomplete FROM meter_readings ORDER BY ts").fetchall()
        assert flags == [(True, True), (False, False)]

    asyncio.run(scenario())


def test_no_message_is_acknowledged_before_it_is_in_the_log(path: TelemetryPath) -> None:
    client_id = fresh()

    async def scenario() -> None:
        refusing = FakeTelemetryStream()
        refusing.available = False
        async with path.meters() as outbox, path.ingesting(refusing, client_id=client_id):
            for number in range(20):
                send(outbox, "fac-001", number)
            await asyncio.sleep(1.0)
            assert refusing.kept == []
        # The worker has ended and lost its memory. The broker still has every message.
        async with (
            path.stream() as stream,
            path.aggregating(stream),
            path.ingesting(stream, client_id=client_id),
        ):
            await eventually(lambda: path.count("meter_readings") == 20)

    asyncio.run(scenario())


def test_a_killed_broker_loses_nothing(path: TelemetryPath) -> None:
    async def scenario() -> None:
        async with (
            path.stream(again_after_s=AFTER_A_KILL_S) as stream,
            path.aggregating(stream),
            path.ingesting(stream, client_id=fresh()),
            path.meters() as outbox,
        ):
            for number in range(600):
                send(outbox, f"fac-{number % 10:03}", number // 10)
                if number == 200:
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(path.servers.nats.kill)
                if number == 400:
                    await asyncio.to_thread(path.servers.nats.start)
            await eventually(lambda: path.count("meter_readings") == 600, within_s=ANSWER_S)
            fill = await stream.fill()
            assert fill.stored_bytes > 0
        assert path.dead_letters.listed() == []

    asyncio.run(scenario())


def test_a_second_ingest_worker_waits_and_takes_over(path: TelemetryPath) -> None:
    client_id = fresh()

    async def scenario() -> None:
        first, second = FakeTelemetryStream(), FakeTelemetryStream()
        async with path.meters() as outbox:
            async with (
                path.ingesting(first, client_id=client_id),
                path.ingesting(second, client_id=client_id, waits_for_turn=True),
            ):
                send(outbox, "fac-001", 0)
                await eventually(lambda: len(first.kept) == 1)
                assert second.kept == []
            async with path.ingesting(second, client_id=client_id):
                send(outbox, "fac-001", 1)
                await eventually(lambda: len(second.kept) == 1)
        assert len(first.kept) == 1

    asyncio.run(scenario())
