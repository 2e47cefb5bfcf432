import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from application.malformed_rate import WINDOW
from application.reading_packer import ReadingPacker
from interfaces.workers.ingest import MeterIngest
from tests.fakes.alerts import FakeAlertRegistry
from tests.fakes.telemetry_stream import FakeTelemetryStream

T0 = datetime(2026, 7, 14, tzinfo=UTC)
TOPIC = "meters/fac-001/m1/readings"
GOOD = json.dumps({"ts": T0.isoformat(), "kw": 1.0, "kwh_total": 2.0}).encode()


@dataclass
class SetClock:
    at: datetime = T0

    def now(self) -> datetime:
        return self.at

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / 1_000


@dataclass
class Ingesting:
    clock: SetClock = field(default_factory=SetClock)
    stream: FakeTelemetryStream = field(default_factory=FakeTelemetryStream)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)

    def tell(self, story: Callable[[MeterIngest], Awaitable[None]]) -> None:
        async def run() -> None:
            packer = ReadingPacker(self.stream, self.clock, flush_after_s=0.001)
            stop = asyncio.Event()
            running = asyncio.create_task(packer.run(stop))
            try:
                await story(MeterIngest(packer, self.alerts, self.clock))
            finally:
                stop.set()
                await running

        asyncio.run(run())

    def open(self) -> list[tuple[str, str]]:
        return [(alert.name, alert.subject) for alert in self.alerts.listed()]


def test_a_facility_with_malformed_messages_is_alerted_and_cleared_when_they_are_over() -> None:
    told = Ingesting()

    async def story(ingest: MeterIngest) -> None:
        assert await ingest.take(TOPIC, b"?")
        assert await ingest.take("meters/fac-002/m1/readings", GOOD)
        await ingest.check_alerts()
        assert told.open() == [("malformed_readings", "fac-001")]
        told.clock.at += 2 * WINDOW
        await ingest.take(TOPIC, GOOD)
        await ingest.check_alerts()
        assert told.open() == []

    told.tell(story)


def test_one_malformed_message_in_two_hundred_is_no_alert() -> None:
    told = Ingesting()

    async def story(ingest: MeterIngest) -> None:
        await asyncio.gather(*(ingest.take(TOPIC, GOOD) for _ in range(199)))
        await ingest.take(TOPIC, b"?")
        await ingest.check_alerts()
        assert told.open() == []

    told.tell(story)


def test_a_new_worker_clears_what_an_earlier_one_raised() -> None:
    told = Ingesting()
    told.alerts.raise_alert("malformed_readings", "fac-001", "earlier", at=T0 - timedelta(hours=1))
    told.alerts.raise_alert("telemetry_backpressure", "ingest", "earlier", at=T0 - timedelta(hours=1))

    async def story(ingest: MeterIngest) -> None:
        await ingest.adopt_open_alerts()
        await ingest.check_alerts()
        assert told.open() == []

    told.tell(story)


def test_a_log_that_takes_nothing_is_alerted_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interfaces.workers.ingest._SHORTEST_BACKPRESSURE_S", 0.1)
    told = Ingesting()
    told.stream.available = False

    async def story(ingest: MeterIngest) -> None:
        taking = asyncio.create_task(ingest.take(TOPIC, GOOD))
        await asyncio.sleep(0.02)
        await ingest.check_alerts()
        assert told.open() == []
        await asyncio.sleep(0.3)
        await ingest.check_alerts()
        assert told.open() == [("telemetry_backpressure", "ingest")]
        assert not taking.done()
        told.stream.available = True
        assert await taking
        await ingest.check_alerts()
        assert told.open() == []

    told.tell(story)


def test_an_absent_alert_register_does_not_stop_the_readings() -> None:
    class Absent(FakeAlertRegistry):
        def raise_alert(self, name: str, subject: str, detail: str, *, at: datetime) -> None:
            raise ConnectionError("away")

    told = Ingesting(alerts=Absent())

    async def story(ingest: MeterIngest) -> None:
        await ingest.take(TOPIC, b"?")
        await ingest.check_alerts()
        assert await ingest.take(TOPIC, GOOD)
        told.alerts = FakeAlertRegistry()

    told.tell(story)
    assert len(told.stream.kept) == 2


def test_readings_that_were_not_kept_when_the_worker_stopped_are_not_acknowledged() -> None:
    async def run() -> None:
        stream, clock = FakeTelemetryStream(), SetClock()
        stream.available = False
        packer = ReadingPacker(stream, clock)
        stop = asyncio.Event()
        running = asyncio.create_task(packer.run(stop))
        taking = asyncio.create_task(MeterIngest(packer, FakeAlertRegistry(), clock).take(TOPIC, GOOD))
        await asyncio.sleep(0.1)
        stop.set()
        await running
        assert await taking is False

    asyncio.run(run())
