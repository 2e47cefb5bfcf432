"""One meter login that sends more than ingest takes does not delay the readings of other facilities (principle 1)."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.mqtt_streams import (
    MAX_MESSAGE_BYTES,
    MAX_PENDING_BYTES,
    WAITING,
    WINDOW,
    _jetstream,
    _JetStreamApi,
)
from adapters.mqtt import MqttMeterFeed
from application.access.token_bucket import Allowance
from application.ports.telemetry.meter_feed import MeterMessage
from application.telemetry.ingest import message_quota
from application.telemetry.ingest.batch_codec import unpack, unpack_malformed
from application.telemetry.ingest.batcher import ReadingPacker
from application.telemetry.ingest.malformed_quota import MalformedBudget
from application.telemetry.ingest.message_parser import MalformedReading
from application.telemetry.ingest.message_quota import BEYOND_QUOTA, MESSAGE_BYTES
from application.telemetry.ingest.meter_admission import MeterAdmission
from application.telemetry.ingest.original_payloads import unpack_payloads
from application.telemetry.ingest.original_quota import OF_ALL, original_quota
from domain.telemetry.meter_reading import MALFORMED
from interfaces.workers.ingest.ingest import IngestCounts, MeterIngest
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.integration.telemetry.feed_reader import Taken, eventually, publish, reading
from tests.patience import ANSWER_S

T0 = datetime(2026, 7, 14, tzinfo=UTC)
LARGE = b"x" * 60_000


FLOOD, OTHER = "meters/fac-001/m1/readings", "meters/fac-002/m1/readings"


def sent(count: int, readings: int) -> list[bytes]:
    """Different messages of the same length."""
    one = {"ts": T0.isoformat(), "kw": 1.0, "kwh_total": 2.0}
    return [json.dumps([one | {"seq": 1_000 + number}] * readings).encode() for number in range(count)]


LIST_BYTES = len(sent(1, 500)[0])


class Ingest:
    """A MeterIngest on fakes. A facility may send ten lists, and five malformed messages as long."""

    def __init__(self, of_all_originals: Allowance = OF_ALL) -> None:
        self.stream, self.alerts = FakeTelemetryStream(), FakeAlertRegistry()
        self.packer = ReadingPacker(self.stream, flush_after_s=0.001)
        self.admission = MeterAdmission(FakeListedMeters({"fac-001": {"m1"}, "fac-002": {"m1"}}))
        budget = MalformedBudget(Allowance(5.0 * (LIST_BYTES + 400), 0.0))
        self.worker = MeterIngest(
            self.packer,
            self.alerts,
            FakeClock(T0),
            self.admission,
            budget=budget,
            originals=original_quota(of_all_originals),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        await self.admission.reload()
        packing = asyncio.create_task(self.packer.run(stop))
        yield
        if reported := self.worker.report_omitted():
            await asyncio.wait(reported)
        await self.worker.check_alerts()
        stop.set()
        await packing

    @property
    def facilities_read(self) -> Counter[str]:
        packs = [unpack(kept.body) for kept in self.stream.kept if kept.partition != MALFORMED]
        return Counter(one.facility_id for pack in packs for one in pack.readings)

    @property
    def originals(self) -> Counter[str]:
        """Topic -> the messages that are stored as they were sent."""
        packs = [unpack(kept.body).originals for kept in self.stream.kept if kept.partition != MALFORMED]
        return Counter(one.topic for pack in packs if pack is not None for one in unpack_payloads(pack))

    @property
    def malformed(self) -> list[MalformedReading]:
        packs = [unpack_malformed(kept.body) for kept in self.stream.kept if kept.partition == MALFORMED]
        return [one for pack in packs for one in pack.malformed]


@pytest.fixture
def ingest(monkeypatch: pytest.MonkeyPatch) -> Ingest:
    monkeypatch.setattr(message_quota, "LEAST", Allowance(10.0 * (LIST_BYTES + MESSAGE_BYTES), 0.0))
    return Ingest()


def test_what_exceeds_the_quota_of_a_facility_is_acknowledged_unread_and_counted(ingest: Ingest) -> None:
    confirmed = list[str]()

    async def scenario() -> None:
        async with ingest.running():
            for topic, payloads in ((FLOOD, sent(40, 500)), (OTHER, sent(1, 1))):
                for payload in payloads:
                    message = MeterMessage(topic, payload, len(payload))
                    ingest.worker.take(message, partial(confirmed.append, topic))
            await eventually(lambda: len(confirmed) == 41)

    asyncio.run(scenario())
    assert ingest.worker.counts == IngestCounts(messages=41, readings=5_001, malformed=30, omitted=25)
    assert ingest.facilities_read == {"fac-001": 5_000, "fac-002": 1}
    beyond = [len(one.body) for one in ingest.malformed if one.reason.startswith(BEYOND_QUOTA)]
    [rest] = [one for one in ingest.malformed if not one.reason.startswith(BEYOND_QUOTA)]
    assert beyond == [LIST_BYTES] * 5
    assert json.loads(rest.body)["omitted_messages"] == 25
    assert [(one.name, one.subject) for one in ingest.alerts.listed()] == [("malformed_readings", "fac-001")]


def large_and_valid(count: int) -> list[bytes]:
    """Messages of one reading each, beside which a field that is not read holds 60 kB that cannot be compressed."""
    text = random.Random(1)
    return [
        json.dumps(
            {"ts": T0.isoformat(), "kw": 1.0, "kwh_total": 2.0, "seq": n, "x": text.randbytes(30_000).hex()}
        ).encode()
        for n in range(count)
    ]


def test_large_valid_messages_of_some_facilities_do_not_fill_the_log_and_their_readings_are_stored() -> None:
    flood = large_and_valid(40)
    ingest = Ingest(Allowance(10.0 * len(flood[0]), 0.0))
    confirmed = list[str]()

    async def scenario() -> None:
        async with ingest.running():
            for number, payload in enumerate(flood):
                topic = (FLOOD, OTHER)[number % 2]
                message = MeterMessage(topic, payload, len(payload))
                ingest.worker.take(message, partial(confirmed.append, topic))
            await eventually(lambda: len(confirmed) == len(flood))

    asyncio.run(scenario())
    assert ingest.facilities_read == {"fac-001": 20, "fac-002": 20}
    assert ingest.originals == {FLOOD: 5, OTHER: 5}
    assert ingest.worker.counts == IngestCounts(messages=40, readings=40, without_original=30)
    assert sum(len(kept.body) for kept in ingest.stream.kept) < 11 * len(flood[0])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    folder = tmp_path_factory.mktemp("broker")
    with EmbeddedServers(folder, postgres=False, valkey=False) as running:
        yield running


async def send(servers: EmbeddedServers, topic: str, payloads: list[bytes], client_id: str) -> None:
    parts = urlsplit(servers.meters_mqtt_url)
    await publish(
        parts.port or 0,
        payloads,
        topic=topic.encode(),
        user=parts.username,
        password=parts.password,
        client_id=client_id,
    )


def test_beside_a_flood_of_one_login_the_readings_of_another_facility_arrive(
    servers: EmbeddedServers, ingest: Ingest
) -> None:
    async def scenario() -> None:
        feed, stop = MqttMeterFeed(servers.mqtt_url, client_id="floods"), asyncio.Event()
        async with ingest.running():
            reading_feed = asyncio.create_task(feed.run(ingest.worker, stop))
            await feed.subscribed.wait()
            async with asyncio.TaskGroup() as meters:
                lists = sent(400, 500)
                for number in range(4):
                    meters.create_task(send(servers, FLOOD, lists[number::4], f"flood-{number}"))
                meters.create_task(send(servers, OTHER, sent(20, 1), "other"))
            await eventually(lambda: ingest.worker.counts.messages >= 420)
            stop.set()
            await reading_feed

    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))
    # On a busy machine the broker may send a message twice.
    assert ingest.facilities_read["fac-002"] >= 20
    assert ingest.facilities_read["fac-001"] <= 5_000
    assert ingest.worker.counts.malformed >= 390
    assert ("malformed_readings", "fac-001") in {(one.name, one.subject) for one in ingest.alerts.listed()}


def test_large_messages_under_way_do_not_cut_ingest_off(servers: EmbeddedServers) -> None:
    count = 1_300  # 78 MB

    async def scenario() -> None:
        feed, taken = MqttMeterFeed(servers.mqtt_url, client_id="slow"), Taken(room=0)
        async with reading(feed, taken):
            connection = feed.connection
            await send(servers, FLOOD, [LARGE] * count, "large")
            taken.allow(1)
            await eventually(lambda: len(taken.messages) >= count)
            assert feed.connection is connection is not None

    asyncio.run(scenario())


@contextmanager
def jetstream(servers: EmbeddedServers) -> Iterator[_JetStreamApi]:
    parts = urlsplit(servers.nats_url)
    with _jetstream(parts.port or 0, str(parts.username), str(parts.password)) as api:
        yield api


def test_the_window_of_every_session_times_the_largest_message_fits_into_what_may_wait(
    servers: EmbeddedServers,
) -> None:
    async def subscribe() -> None:
        async with reading(MqttMeterFeed(servers.mqtt_url, client_id="earlier"), Taken()):
            pass

    asyncio.run(subscribe())
    with jetstream(servers) as api:
        stream = api.stream(WAITING)
        consumers = api.request(f"CONSUMER.LIST.{WAITING}", {})["consumers"]
    assert stream is not None
    assert stream["config"]["max_msg_size"] == MAX_MESSAGE_BYTES
    assert consumers
    assert {consumer["config"]["max_ack_pending"] for consumer in consumers} == {WINDOW}
    assert WINDOW * MAX_MESSAGE_BYTES < MAX_PENDING_BYTES
    assert f"max_pending: {MAX_PENDING_BYTES}" in (servers.data_dir / "nats" / "nats.conf").read_text()
