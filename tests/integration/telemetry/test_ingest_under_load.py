"""From raw meter messages to the log, counted by reading: loss, duplicates, refusals and invalid messages."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from adapters.mqtt import MqttMeterFeed, packets
from adapters.nats.telemetry_stream import NatsTelemetryStream
from application.ports.telemetry.stream import StreamUnavailable
from application.telemetry.ingest.batch_codec import MalformedMessages, unpack, unpack_malformed
from application.telemetry.ingest.batcher import ReadingPacker
from application.telemetry.ingest.malformed_dead_letters import letters_of
from application.telemetry.ingest.message_parser import MalformedReading
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS, MeterReading, partition_of
from interfaces.simulators.meters.load import MeterLoad
from interfaces.simulators.meters.load_plan import LoadPlan, audit
from interfaces.simulators.meters.mqtt_publisher import MqttPublisher
from interfaces.workers.ingest import ingest
from interfaces.workers.ingest.sessions import IngestSession
from tests.conftest import DebianCommand
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import AnyMeter
from tests.integration.telemetry.conftest import AFTER_A_KILL_S, TelemetryPath, eventually
from tests.integration.telemetry.mosquitto import mosquitto
from tests.patience import ANSWER_S, START_S

NOW = datetime.now(UTC).replace(microsecond=0)


def plan(meters: int, rate: float, gateway: int = 1) -> LoadPlan:
    return LoadPlan(
        run=f"load{uuid4().hex[:6]}", meters=meters, rate_per_s=rate, gateway=gateway, started_at=NOW
    )


@pytest.mark.parametrize("gateway", [1, 10])
def test_every_reading_of_the_load_is_stored_once(path: TelemetryPath, gateway: int) -> None:
    planned = plan(meters=400, rate=1_000, gateway=gateway)

    async def scenario() -> None:
        async with (
            path.stream() as stream,
            path.aggregating(stream),
            path.ingesting(stream, client_id=f"ingest-{uuid4().hex[:8]}"),
        ):
            report = await MeterLoad(planned, path.servers.meters_mqtt_url).run(3.0)
            assert report.unacknowledged_messages == 0
            assert report.readings == planned.readings_in(report.messages)
            await eventually(lambda: not audit(planned, report.messages, path.stored_readings).lost)
        assert audit(planned, report.messages, path.stored_readings).is_exact

    asyncio.run(scenario())


def test_a_broker_and_an_ingest_worker_killed_under_load_lose_nothing(path: TelemetryPath) -> None:
    planned = plan(meters=300, rate=600)
    client_id = f"ingest-{uuid4().hex[:8]}"

    async def scenario() -> None:
        async with path.stream(again_after_s=AFTER_A_KILL_S) as stream, path.aggregating(stream):
            async with path.ingesting(stream, client_id=client_id):
                load = MeterLoad(planned, path.servers.meters_mqtt_url, connections=2)
                sending = asyncio.create_task(load.run(6.0))
                await eventually(lambda: load.sent > 600)
                await asyncio.to_thread(path.servers.nats.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(path.servers.nats.start)
                await eventually(lambda: load.sent > 1_800)
            async with path.ingesting(stream, client_id=client_id):
                report = await sending
                assert (report.unacknowledged_messages, report.messages) == (0, 3_600)
                assert report.connections > 2
                await eventually(
                    lambda: not audit(planned, report.messages, path.stored_readings).lost, within_s=ANSWER_S
                )
        assert audit(planned, report.messages, path.stored_readings).is_exact

    asyncio.run(scenario())


class Held(NatsTelemetryStream):
    """A JetStream that accepts nothing for a while."""

    is_held = False

    async def publish(
        self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
    ) -> int:
        if self.is_held:
            raise StreamUnavailable("held by the test")
        return await super().publish(partition, body, message_id=message_id, traceparent=traceparent)


async def everything_in(stream: NatsTelemetryStream) -> tuple[list[MeterReading], list[MalformedReading]]:
    """The next readings of the log."""
    readings: list[MeterReading] = []
    malformed: list[MalformedReading] = []
    for partition in (*range(PARTITIONS), MALFORMED):
        while batches := await stream.pull(partition, limit=100, timeout_s=0.5):
            for batch in batches:
                if partition == MALFORMED:
                    malformed.extend(unpack_malformed(batch.body).malformed)
                else:
                    held = unpack(batch.body).readings
                    assert {partition_of(reading.facility_id) for reading in held} == {partition}
                    readings.extend(held)
                await stream.acknowledge(batch)
    return readings, malformed


def test_memory_is_bounded_while_jetstream_accepts_nothing_and_no_reading_is_lost(
    path: TelemetryPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledgements stop, the alert is raised, memory stays within its limit, and the broker stores the rest."""
    monkeypatch.setattr(ingest, "_SHORTEST_BACKPRESSURE_S", 1.0)
    monkeypatch.setattr(ingest, "BACKPRESSURE_AFTER_S", 1.0)
    bound = 50_000
    packers: list[ReadingPacker] = []

    def small(stream: NatsTelemetryStream) -> ReadingPacker:
        packers.append(ReadingPacker(stream, max_buffered_bytes=bound))
        return packers[-1]

    monkeypatch.setattr(ingest, "ReadingPacker", small)
    planned = plan(meters=200, rate=1_000)
    alert = ("telemetry_backpressure", "ingest")

    async def scenario() -> None:
        async with path.stream() as plain:
            stream = Held(plain._client, ack_wait_s=1.0)
            async with path.ingesting(stream, client_id=f"ingest-{uuid4().hex[:8]}"):
                stream.is_held = True
                report = await MeterLoad(planned, path.servers.meters_mqtt_url).run(4.0)
                assert report.unacknowledged_messages == 0  # the broker has acknowledged every message
                await eventually(lambda: alert in path.open_alerts())
                assert 0 < packers[0].buffered_bytes < bound + 1_000
                assert (await plain.fill()).messages == 0
                stream.is_held = False
                await eventually(lambda: alert not in path.open_alerts(), within_s=ANSWER_S)
                found: Counter[tuple[str, int | None]] = Counter()
                async with asyncio.timeout(ANSWER_S):
                    while len(found) < report.readings:
                        readings, _ = await everything_in(plain)
                        found.update((reading.meter_id, reading.seq) for reading in readings)
        assert len(found) == report.readings == 4_000

    asyncio.run(scenario())


def garbage(number: int) -> bytes:
    """Invalid payloads: bytes, half a message, other formats."""
    tag = f"{number:07}".encode()
    return (
        b"\xff\xfe" + tag,
        b'{"ts":"2026-' + tag,
        b"<reading n='%b'/>" % tag,
        b'{"n":%d}' % number,
        b'{"ts":"yesterday","kw":1,"n":%d}' % number,
        b'[{"ts":null,"n":%d}]' % number,
    )[number % 6]


def poison(number: int) -> bytes:
    """Payloads that could crash a parser."""
    ts = NOW.isoformat().encode()
    return (
        b"[" * 20_000 + b"%d" % number,
        b'{"a":' * 5_000 + b"%d" % number,
        b'{"ts":"%b","kw":1%b,"n":%d}' % (ts, b"0" * 4_000, number),
        b'{"ts":"%b","kw":1e999,"n":%d}' % (ts, number),
        b'{"ts":"0001-01-01T00:00:00+23:59","kw":1,"n":%d}' % number,
        b'{"ts":"%b","kw":true,"meter_id":"m\\u0000","n":%d}' % (ts, number),
    )[number % 6]


def stormy(number: int) -> tuple[bytes, bytes, str]:
    """(topic, payload, kind) of message `number`: 30 % are invalid, 5 % poison, and some of the rest are refused."""
    facility = number % 7
    topic = b"meters/storm-%d/m1/readings" % facility
    body: dict[str, object] = {"ts": (NOW - timedelta(seconds=number)).isoformat(), "seq": number, "kw": 1.0}
    kind = number % 100
    if kind < 30:
        return topic, garbage(number), "garbage"
    if kind < 35:
        return topic, poison(number), "poison"
    if kind == 35:
        return topic, json.dumps(body | {"facility_id": "storm-99"}).encode(), "wrong facility"
    if kind == 36:
        return topic, json.dumps(body | {"ts": (NOW + timedelta(days=9)).isoformat()}).encode(), "future"
    if kind == 37:
        return topic, json.dumps(body | {"ts": "1999-01-01T00:00:00Z"}).encode(), "ancient"
    if kind == 38:
        return b"meters/STORM/m1/readings", b'{"n":%d}' % number, "no such topic"
    if kind == 39:
        return topic, b'{"n":%d,"x":"%b"}' % (number, b"x" * 100_000), "too long"
    return topic, json.dumps(body | ({} if kind < 60 else {"kwh_total": 5.0})).encode(), "reading"


async def send(
    port: int, messages: Sequence[tuple[bytes, bytes]], user: str | None, password: str | None
) -> None:
    meters = MqttPublisher()
    await meters.connect("127.0.0.1", port, client_id=f"storm-{port}", user=user, password=password)
    for at in range(0, len(messages), 100):
        meters.publish(list(messages[at : at + 100]))
        await eventually(lambda: not meters.in_flight)
    meters.close()


async def answer_to(url: str, topic: bytes, payload: bytes) -> bytes:
    """The broker's response to a message at QoS 1 before it closes the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    login = packets.connect(
        "3.1.1",
        "huge",
        user=parts.username,
        password=parts.password,
        keepalive_s=60,
        receive_maximum=1,
        session_expiry_s=None,
    )
    writer.write(login)
    assert (await reader.readexactly(4))[3] == 0
    body = len(topic).to_bytes(2, "big") + topic + b"\0\x01" + payload
    writer.write(b"\x32" + packets.varint(len(body)) + body)
    async with asyncio.timeout(ANSWER_S):
        answer = b""
        try:
            while more := await reader.read(4_096):
                answer += more
        except ConnectionResetError:  # the broker closed before it read the whole message
            return answer
        finally:
            writer.close()
    return answer


@pytest.mark.parametrize("kind", ["nats", "mosquitto"])
def test_each_message_of_a_storm_of_malformed_messages_is_accounted_for(
    path: TelemetryPath, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    count = 3_000
    messages = [stormy(number) for number in range(count)]
    expected = Counter(what for _, _, what in messages)
    huge = [(b"meters/storm-1/m1/readings", b'{"huge":%d,"x":"' % n + b"x" * 10_000_000) for n in range(2)]

    async def scenario(url: str, meters_url: str) -> tuple[list[MeterReading], list[MalformedReading]]:
        async with path.stream() as stream:
            alerts = FakeAlertRegistry()
            feed = MqttMeterFeed(url, client_id=f"ingest-{uuid4().hex[:8]}")
            stop = asyncio.Event()
            session = IngestSession("only", feed, path.turn())
            running = asyncio.create_task(
                ingest.run(
                    sessions=[session],
                    stream=stream,
                    alerts=alerts,
                    clock=path.clock,
                    meters=AnyMeter(),
                    stop=stop,
                )
            )
            await asyncio.wait_for(feed.subscribed.wait(), ANSWER_S)
            parts = urlsplit(meters_url)
            port = parts.port or 0
            sent = [(topic, payload) for topic, payload, _ in messages]
            if kind == "mosquitto":
                sent[1_500:1_500] = huge
            else:  # the broker accepts at most 1 MB: the meter gets no acknowledgement
                for topic, payload in huge:
                    assert await answer_to(meters_url, topic, payload) == b""
            await send(port, sent, parts.username, parts.password)
            await eventually(
                lambda: ("malformed_readings", "storm-1") in {(a.name, a.subject) for a in alerts.listed()}
            )
            # The log delivers at least once: on a busy machine some messages are redelivered.
            readings: dict[int, MeterReading] = {}
            malformed: dict[tuple[str, bytes], MalformedReading] = {}
            async with asyncio.timeout(START_S):
                while len(readings) + len(malformed) < len(sent):
                    more = await everything_in(stream)
                    readings |= {reading.seq: reading for reading in more[0] if reading.seq is not None}
                    malformed |= {(message.topic, message.body): message for message in more[1]}
            assert not running.done()
            stop.set()
            await running
            return [*readings.values()], [*malformed.values()]

    if kind == "nats":
        readings, malformed = asyncio.run(scenario(path.servers.mqtt_url, path.servers.meters_mqtt_url))
    else:
        command: DebianCommand = request.getfixturevalue("debian_command")
        # The setting from docs/guides/meters.md: by default Mosquitto drops messages beyond 1,000 unacknowledged.
        settings = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 4000")
        with mosquitto(command("mosquitto"), tmp_path, *settings) as port:
            url = f"mqtt://127.0.0.1:{port}"
            readings, malformed = asyncio.run(scenario(url, url))
        oversized = [m for m in malformed if m.body.startswith(b'{"huge"')]
        assert len(oversized) == 2
        assert all(len(m.body) == 65_536 and m.reason.startswith("the message has 10000") for m in oversized)
        malformed = [m for m in malformed if m not in oversized]
    assert {r.seq for r in readings} == {n for n, (_, _, what) in enumerate(messages) if what == "reading"}
    assert len(readings) == 1_800
    assert len(malformed) == count - expected["reading"]
    assert {m.body[:65_536] for m in malformed} == {
        p[:65_536] for _, p, what in messages if what != "reading"
    }
    reasons = Counter(reason_of(m) for m in malformed)
    for what in ("wrong facility", "future", "ancient", "no such topic", "too long"):
        assert reasons[what] >= expected[what], what
    assert all(m.reason for m in malformed)
    letters = letters_of(MalformedMessages(received_at=NOW, malformed=malformed))
    assert len({letter.dead_letter_id for letter in letters}) == len(malformed), (
        "each message has its own letter"
    )
    assert {r.incomplete for r in readings} == {True, False}


def reason_of(malformed: MalformedReading) -> str:
    for words, what in (
        ("names facility", "wrong facility"),
        ("in the future", "future"),
        ("days old", "ancient"),
        ("names no valid facility", "no such topic"),
        ("bytes; at most", "too long"),
    ):
        if words in malformed.reason:
            return what
    return malformed.reason
