import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from application.access.token_bucket import Allowance
from application.ports.telemetry.meter_feed import MAX_PAYLOAD_BYTES, MessageConsumer, MeterMessage
from application.telemetry.ingest.batch_codec import unpack, unpack_malformed
from application.telemetry.ingest.batcher import ReadingPacker
from application.telemetry.ingest.malformed_quota import MalformedBudget
from application.telemetry.ingest.malformed_rate import WINDOW
from application.telemetry.ingest.meter_admission import MeterAdmission
from application.telemetry.ingest.original_payloads import ReceivedPayload, unpack_payloads
from domain.telemetry.meter_reading import MALFORMED
from interfaces.workers.ingest.ingest import IngestCounts, MeterIngest, run
from interfaces.workers.ingest.sessions import IngestSession
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import AnyMeter
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.open_alerts import begin_alert
from tests.patience import ANSWER_S

T0 = datetime(2026, 7, 14, tzinfo=UTC)
TOPIC = "meters/fac-001/m1/readings"
GOOD = json.dumps({"ts": T0.isoformat(), "kw": 1.0, "kwh_total": 2.0}).encode()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


@dataclass
class Ingesting:
    clock: FakeClock = field(default_factory=lambda: FakeClock(T0, speed=1_000))
    stream: FakeTelemetryStream = field(default_factory=FakeTelemetryStream)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    kept: list[bytes] = field(default_factory=list)
    budget: MalformedBudget = field(default_factory=MalformedBudget)
    meters: AnyMeter = field(default_factory=AnyMeter)

    def tell(self, scenario: Callable[[MeterIngest], Awaitable[None]]) -> None:
        async def run() -> None:
            packer = ReadingPacker(self.stream, flush_after_s=0.001)
            stop = asyncio.Event()
            running = asyncio.create_task(packer.run(stop))
            try:
                admission = MeterAdmission(self.meters)
                await admission.reload()
                await scenario(MeterIngest(packer, self.alerts, self.clock, admission, budget=self.budget))
            finally:
                stop.set()
                await running

        asyncio.run(run())

    def send(self, ingest: MeterIngest, payload: bytes, topic: str = TOPIC) -> None:
        ingest.take(MeterMessage(topic, payload, len(payload)), lambda: self.kept.append(payload))

    async def until_confirmed(self, count: int) -> None:
        async with asyncio.timeout(ANSWER_S):
            while len(self.kept) < count:  # noqa: ASYNC110 - a list has no event to wait for
                await asyncio.sleep(0.005)

    def published(self) -> list[tuple[int, bytes]]:
        return [(one.partition, one.body) for one in self.stream.kept]

    def open(self) -> list[tuple[str, str]]:
        return [(alert.name, alert.subject) for alert in self.alerts.listed()]


def test_the_log_gets_a_message_as_it_was_sent_beside_its_readings() -> None:
    told = Ingesting()
    sent = GOOD.replace(b", ", b",\n  ")

    async def scenario(ingest: MeterIngest) -> None:
        told.send(ingest, sent)
        told.send(ingest, b"?")
        await told.until_confirmed(2)

    told.tell(scenario)
    [body] = [body for partition, body in told.published() if partition != MALFORMED]
    originals = unpack(body).originals
    assert originals is not None
    assert unpack_payloads(originals) == [ReceivedPayload(TOPIC, T0, sent)]


class FailsOnce(MalformedBudget):
    """The first message for which it is asked fails."""

    failed = False

    def keeps(self, *message: Any, now_s: float) -> bool:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError("no such case")
        return super().keeps(*message, now_s=now_s)


def test_a_message_that_fails_while_it_is_admitted_counts_once() -> None:
    told = Ingesting(budget=FailsOnce())

    async def scenario(ingest: MeterIngest) -> None:
        told.send(ingest, b"?")
        await told.until_confirmed(1)
        assert ingest.counts == IngestCounts(messages=1, malformed=1)

    told.tell(scenario)


def test_a_facility_with_malformed_messages_is_alerted_until_they_stop() -> None:
    told = Ingesting()

    async def scenario(ingest: MeterIngest) -> None:
        told.send(ingest, b"?")
        told.send(ingest, GOOD, "meters/fac-002/m1/readings")
        await ingest.check_alerts()
        assert told.open() == [("malformed_readings", "fac-001")]
        told.clock.moment += 2 * WINDOW
        told.send(ingest, GOOD)
        await ingest.check_alerts()
        assert told.open() == []

    told.tell(scenario)


def test_one_malformed_message_in_two_hundred_raises_no_alert() -> None:
    told = Ingesting()

    async def scenario(ingest: MeterIngest) -> None:
        for _ in range(199):
            told.send(ingest, GOOD)
        told.send(ingest, b"?")
        await ingest.check_alerts()
        assert told.open() == []

    told.tell(scenario)


def test_beyond_the_limit_of_watched_facilities_the_oldest_alert_is_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("interfaces.workers.ingest.ingest.MAX_FACILITIES", 2)
    told = Ingesting()

    async def scenario(ingest: MeterIngest) -> None:
        for facility in ("fac-001", "fac-002", "fac-003"):
            told.send(ingest, b"?", f"meters/{facility}/m1/readings")
            await ingest.check_alerts()
        assert {subject for _, subject in told.open()} == {"fac-002", "fac-003"}

    told.tell(scenario)


def test_malformed_messages_of_one_facility_leave_room_for_readings_of_others() -> None:
    told = Ingesting(
        stream=FakeTelemetryStream(max_bytes=100_000),
        budget=MalformedBudget(Allowance(50_000, 0.0), Allowance(90_000, 0.0)),
    )
    flood = [b"?%05d" % n + b"x" * 10_000 for n in range(100)]

    async def scenario(ingest: MeterIngest) -> None:
        for payload in flood:
            told.send(ingest, payload)
        told.send(ingest, GOOD, "meters/fac-002/m1/readings")
        await told.until_confirmed(len(flood) + 1)  # omitted messages are acknowledged as well
        assert GOOD in told.kept
        assert ingest.counts == IngestCounts(messages=101, readings=1, malformed=100, omitted=96)
        ingest.report_omitted()
        async with asyncio.timeout(ANSWER_S):
            while (letters := parked(told.stream))[-1][1] == flood[3]:  # noqa: ASYNC110 - the log has no event
                await asyncio.sleep(0.005)
        *whole, (reason, counted) = letters
        assert [body for _, body in whole] == flood[:4]
        assert reason.startswith("96 more malformed messages")
        assert json.loads(counted)["omitted_messages"] == 96

    told.tell(scenario)


class Garbage:
    """A feed with more malformed messages of one facility than are stored. It waits for their confirmation like a real
    feed, and then stops its worker."""

    def __init__(self, end: asyncio.Event) -> None:
        self._end = end
        self._kept = 0

    async def run(self, consumer: MessageConsumer, stop: asyncio.Event) -> None:
        for number in range(300):
            while not consumer.has_room():  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.001)
            body = b"?%05d" % number + b"x" * (MAX_PAYLOAD_BYTES - 6)
            consumer.take(MeterMessage(TOPIC, body, len(body)), self._note)
        while self._kept < 300:  # noqa: ASYNC110 - a number has no event
            await asyncio.sleep(0.001)
        self._end.set()
        await stop.wait()

    def _note(self) -> None:
        self._kept += 1


class OurTurn:
    @asynccontextmanager
    async def held(self) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()


def test_omitted_messages_are_reported_before_a_worker_ends() -> None:
    stream = FakeTelemetryStream(max_bytes=100_000_000)

    async def scenario() -> None:
        clock, stop = FakeClock(T0, speed=1_000), asyncio.Event()
        session = IngestSession("meters", Garbage(stop), OurTurn())
        await run(
            sessions=[session],
            stream=stream,
            alerts=FakeAlertRegistry(),
            clock=clock,
            meters=AnyMeter(),
            stop=stop,
        )

    asyncio.run(asyncio.wait_for(scenario(), ANSWER_S))
    letters = parked(stream)
    whole = [body for _, body in letters if body.startswith(b"?")]
    counted = [json.loads(body)["omitted_messages"] for _, body in letters if not body.startswith(b"?")]
    assert 0 < len(whole) < 300
    assert len(whole) + sum(counted) == 300


def parked(stream: FakeTelemetryStream) -> list[tuple[str, bytes]]:
    """(reason, body) of every malformed message in the log."""
    bodies = [one.body for one in stream.kept if one.partition == MALFORMED]
    return [(one.reason, one.body) for body in bodies for one in unpack_malformed(body).malformed]


def test_the_readings_of_a_list_beyond_the_quota_are_stored() -> None:
    told = Ingesting(budget=MalformedBudget(Allowance(10.0, 0.0)))

    async def scenario(ingest: MeterIngest) -> None:
        told.send(ingest, b"[" + GOOD + b',{"kw": 1}]')
        await told.until_confirmed(1)
        assert ingest.counts == IngestCounts(messages=1, readings=1, malformed=1, omitted=1)

    told.tell(scenario)


def test_every_message_is_counted_by_its_outcome() -> None:
    told = Ingesting()
    gateway = b"[" + GOOD + b',{"kw": 1},' + GOOD + b"]"

    async def scenario(ingest: MeterIngest) -> None:
        for payload in (GOOD, b"?", gateway):
            told.send(ingest, payload)
        assert ingest.counts == IngestCounts(messages=3, readings=3, malformed=2)
        await told.until_confirmed(3)

    told.tell(scenario)


@pytest.mark.parametrize(
    ("body", "transport", "carried"),
    [
        (None, TRACE, TRACE),
        (OTHER_TRACE, TRACE, OTHER_TRACE),
        ("x\r\nNats-Rollup: all", TRACE, TRACE),
        (None, "y" * 60_000, None),
        (None, TRACE + "\n", None),
        (None, None, None),
    ],
)
def test_only_a_valid_w3c_traceparent_is_forwarded_and_the_body_takes_precedence(
    body: str | None, transport: str | None, carried: str | None
) -> None:
    payload = json.dumps({**json.loads(GOOD), "traceparent": body}).encode()
    traces: list[str | None] = []

    class Traced(FakeTelemetryStream):
        async def publish(
            self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
        ) -> int:
            traces.append(traceparent)
            return await super().publish(partition, body, message_id=message_id)

    told = Ingesting(stream=Traced())

    async def scenario(ingest: MeterIngest) -> None:
        ingest.take(MeterMessage(TOPIC, payload, len(payload), transport), lambda: told.kept.append(b""))
        await told.until_confirmed(1)

    told.tell(scenario)
    assert traces == [carried]


def test_a_standby_worker_does_not_clear_the_alerts_of_the_active_one() -> None:
    told = Ingesting()
    begin_alert(told.alerts, "telemetry_backpressure", "ingest", "of the other", at=T0)

    async def scenario(ingest: MeterIngest) -> None:
        stop = asyncio.Event()
        watching = asyncio.create_task(ingest.watch(asyncio.Event(), stop))
        await asyncio.sleep(0.05)
        stop.set()
        await watching
        assert told.open() == [("telemetry_backpressure", "ingest")]

    told.tell(scenario)


def test_a_log_that_accepts_nothing_is_alerted_until_it_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interfaces.workers.ingest.ingest._SHORTEST_BACKPRESSURE_S", 0.3)
    told = Ingesting()
    told.stream.available = False

    async def checked_until(ingest: MeterIngest, alerts: list[tuple[str, str]]) -> None:
        async with asyncio.timeout(ANSWER_S):
            while told.open() != alerts:
                await asyncio.sleep(0.01)
                await ingest.check_alerts()

    async def scenario(ingest: MeterIngest) -> None:
        told.send(ingest, GOOD)
        await ingest.check_alerts()
        assert told.open() == []
        await checked_until(ingest, [("telemetry_backpressure", "ingest")])
        assert told.kept == []
        told.stream.available = True
        await told.until_confirmed(1)
        await checked_until(ingest, [])

    told.tell(scenario)


def test_an_unreachable_alert_register_does_not_stop_the_readings() -> None:
    class Absent(FakeAlertRegistry):
        def state(self, *_: object, **__: object) -> None:
            raise ConnectionError("away")

    told = Ingesting(alerts=Absent())

    async def scenario(ingest: MeterIngest) -> None:
        told.send(ingest, b"?")
        await ingest.check_alerts()
        told.send(ingest, GOOD)
        await told.until_confirmed(2)

    told.tell(scenario)
    assert len(told.stream.kept) == 2
