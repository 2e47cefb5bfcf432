"""A meter login cannot make readings count of meters that the portfolio does not list (M5, principle 1)."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.ports.telemetry.meter_feed import MeterMessage
from application.telemetry.ingest.batch_codec import unpack, unpack_malformed
from application.telemetry.ingest.batcher import ReadingPacker
from application.telemetry.ingest.message_parser import MalformedReading, ParsedMessage, parse_message
from application.telemetry.ingest.meter_admission import MeterAdmission
from domain.telemetry.meter_reading import MALFORMED, MeterReading
from interfaces.workers.ingest import message_hold_queue
from interfaces.workers.ingest.ingest import MeterIngest
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.patience import ANSWER_S

T0 = datetime(2026, 7, 14, tzinfo=UTC)


def reading(meter_id: str | None = None, at: datetime = T0) -> dict[str, object]:
    named = {} if meter_id is None else {"meter_id": meter_id}
    return {"ts": at.isoformat(), "kw": 1.0, "kwh_total": 2.0, **named}


class Ingest:
    """A MeterIngest on fakes: what it put into the log, and the dead letters that will come of it."""

    def __init__(
        self,
        listing: Mapping[str, Collection[str]],
        *,
        max_unlisted_meters: int = 1_000,
        oldest_days: int = 90,
    ) -> None:
        self.listed = FakeListedMeters(listing)
        self._admission = MeterAdmission(self.listed, max_unlisted_meters=max_unlisted_meters)
        self._oldest = timedelta(days=oldest_days)
        self.stream = FakeTelemetryStream()
        self.alerts = FakeAlertRegistry()
        self._ingest: MeterIngest
        self.confirmed = 0

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            stop = asyncio.Event()
            packer = ReadingPacker(self.stream, flush_after_s=0.001)
            clock = FakeClock(T0, speed=1_000)
            await self._admission.reload()
            self._ingest = MeterIngest(packer, self.alerts, clock, self._admission, oldest=self._oldest)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(packer.run(stop))
                tasks.create_task(self._ingest.held.run(stop))
                await scenario()
                await self._ingest.check_alerts()
                stop.set()

        asyncio.run(asyncio.wait_for(whole(), ANSWER_S))

    def send(self, topic: str, *readings: dict[str, object]) -> None:
        body = json.dumps(readings[0] if len(readings) == 1 else readings).encode()
        self._ingest.take(MeterMessage(topic, body, len(body)), self._confirm)

    @property
    def held(self) -> int:
        return len(self._ingest.held._waiting)

    def _confirm(self) -> None:
        self.confirmed += 1

    async def until_confirmed(self, count: int) -> None:
        while self.confirmed < count:  # noqa: ASYNC110 - a number has no event to wait for
            await asyncio.sleep(0.005)

    async def reload(self) -> None:
        await self._admission.reload()

    def knows(self, facility_id: str) -> bool:
        return facility_id in self._admission.listing

    @property
    def of_deactivated(self) -> int:
        return self._ingest.counts.of_deactivated

    @property
    def counted(self) -> list[MeterReading]:
        return [
            reading
            for message in self.stream.kept
            if message.partition != MALFORMED
            for reading in unpack(message.body).readings
        ]

    @property
    def meters_counted(self) -> list[str]:
        return sorted(reading.meter_id for reading in self.counted)

    @property
    def refused(self) -> list[MalformedReading]:
        bodies = [message.body for message in self.stream.kept if message.partition == MALFORMED]
        return [one for body in bodies for one in unpack_malformed(body).malformed]


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_hold_queue, "GRACE_S", 0.0)
    monkeypatch.setattr(message_hold_queue, "_ROUND_S", 0.01)


def test_a_reading_of_a_meter_that_the_portfolio_does_not_list_becomes_a_dead_letter() -> None:
    ingest = Ingest({"fac-001": {"m1"}})

    async def scenario() -> None:
        ingest.send("meters/fac-001/m1/readings", reading())
        ingest.send("meters/fac-001/invented/readings", reading())
        ingest.send("meters/invented/m1/readings", reading())
        await ingest.until_confirmed(3)

    ingest.run(scenario)
    assert ingest.meters_counted == ["m1"]
    assert sorted(one.reason.partition(":")[0] for one in ingest.refused) == ["unknown meter"] * 2
    assert {alert.name for alert in ingest.alerts.listed()} == {"malformed_readings"}


def test_what_the_meters_of_a_deactivated_facility_send_is_ignored_with_a_count_and_without_an_alert() -> (
    None
):
    """Nobody could end that alert but by silencing the meter."""
    ingest = Ingest({"fac-001": {"m1"}, "fac-002": {"m1"}})
    ingest.listed.deactivate("fac-002")

    async def scenario() -> None:
        ingest.send("meters/fac-002/m1/readings", reading())
        ingest.send("meters/fac-002/m1/readings", {"neither": "time nor value"})
        ingest.send("meters/fac-001/m1/readings", reading())
        await ingest.until_confirmed(3)
        assert ingest.of_deactivated == 2
        ingest.listed.put("fac-002", {"m1"})  # it is reactivated
        await ingest.reload()
        ingest.send("meters/fac-002/m1/readings", reading())
        await ingest.until_confirmed(4)

    ingest.run(scenario)
    assert [one.facility_id for one in ingest.counted] == ["fac-001", "fac-002"]
    assert (ingest.refused, ingest.alerts.listed()) == ([], [])


def test_three_thousand_invented_meters_count_nowhere() -> None:
    ingest = Ingest({"fac-001": {"m1"}})
    gateway = [reading(f"invented-{n}") for n in range(1_000)]

    async def scenario() -> None:
        for n in range(3):
            ingest.send(f"meters/fac-001/gateway-{n}/readings", *gateway)
        await ingest.until_confirmed(3)

    ingest.run(scenario)
    assert ingest.counted == []
    assert len(ingest.refused) == 3  # one for each message, not for each reading


def test_unlisted_meters_delay_the_others_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_hold_queue, "GRACE_S", 0.2)
    ingest = Ingest({"fac-001": {"m1"}})

    async def scenario() -> None:
        ingest.send("meters/fac-001/invented-0/readings", reading())
        assert ingest.confirmed == 0
        await ingest.until_confirmed(1)
        for n in range(1, 10):  # the next ten seconds: none of them waits
            ingest.send(f"meters/fac-001/invented-{n}/readings", reading())
        ingest.send("meters/fac-001/m1/readings", reading())
        assert ingest.held == 0

    ingest.run(scenario)


def test_of_a_gateways_message_the_listed_meters_count_and_the_others_can_be_replayed() -> None:
    ingest = Ingest({"fac-001": {"m1", "m2"}})
    sent: list[dict[str, object]] = [
        reading("m1"),
        reading("m9"),
        {"ts": "?", "meter_id": "m8"},
        reading("m2"),
    ]

    async def scenario() -> None:
        ingest.send("meters/fac-001/gateway/readings", *sent)
        await ingest.until_confirmed(1)

    ingest.run(scenario)
    assert ingest.meters_counted == ["m1", "m2"]
    [unknown] = [one for one in ingest.refused if one.reason.startswith("unknown meter")]
    again = parse_message(unknown.topic, unknown.body, now=T0)
    assert [one.meter_id for one in again.readings] == ["m9"]
    assert not again.malformed


def test_a_facility_that_lists_no_meters_takes_any_up_to_a_bound() -> None:
    ingest = Ingest({"fac-001": ()}, max_unlisted_meters=2)

    async def scenario() -> None:
        for _ in range(2):
            for meter in ("m1", "m2", "m3"):
                ingest.send(f"meters/fac-001/{meter}/readings", reading())
        await ingest.until_confirmed(6)

    ingest.run(scenario)
    assert ingest.meters_counted == ["m1", "m1", "m2", "m2"]
    assert len(ingest.refused) == 2


def test_a_meter_that_was_just_listed_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_hold_queue, "GRACE_S", 60.0)
    ingest = Ingest({"fac-001": {"m1"}})

    async def scenario() -> None:
        ingest.send("meters/fac-001/m2/readings", reading())
        await asyncio.sleep(0.05)
        assert ingest.confirmed == 0  # not decided yet
        ingest.listed.put("fac-001", {"m1", "m2"})
        await ingest.until_confirmed(1)

    ingest.run(scenario)
    assert ingest.meters_counted == ["m2"]


def test_a_listed_meter_is_recognized_soon_after_a_slow_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_hold_queue, "_RELOAD_S", 0.01)
    monkeypatch.setattr(message_hold_queue, "_RELOAD_SHARE", 0.001)
    ingest = Ingest({"fac-001": {"m1"}})
    ingest.listed.answers_after_s = 0.2

    async def scenario() -> None:
        await asyncio.sleep(0.1)  # the read has begun
        ingest.listed.answers_after_s = 0.0
        await asyncio.sleep(0.4)  # it is over
        ingest.listed.put("fac-002", {"m2"})
        while not ingest.knows("fac-002"):  # noqa: ASYNC110 - a listing has no event to wait for
            await asyncio.sleep(0.005)

    ingest.run(scenario)


def test_while_the_portfolio_cannot_be_read_what_was_read_last_decides() -> None:
    ingest = Ingest({"fac-001": {"m1"}})

    async def scenario() -> None:
        ingest.listed.is_down = True
        ingest.send("meters/fac-001/m1/readings", reading())
        ingest.send("meters/fac-001/m2/readings", reading())
        await ingest.until_confirmed(2)

    ingest.run(scenario)
    assert ingest.meters_counted == ["m1"]
    assert len(ingest.refused) == 1


def test_held_messages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_hold_queue, "GRACE_S", 60.0)
    monkeypatch.setattr(message_hold_queue, "MAX_MESSAGES", 10)
    ingest = Ingest({"fac-001": {"m1"}})

    async def scenario() -> None:
        for n in range(15):
            ingest.send(f"meters/fac-001/invented-{n}/readings", reading())
        await ingest.until_confirmed(5)

    ingest.run(scenario)
    assert ingest.confirmed == 5
    assert len(ingest.refused) == 5


@pytest.mark.parametrize("grace_s", [0.0, 0.05])
def test_a_message_that_cannot_be_decided_takes_no_other_along(
    grace_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_hold_queue, "GRACE_S", grace_s)
    refusal = MeterAdmission.refusal

    def fails(self: MeterAdmission, *message: Any) -> ParsedMessage:
        if message[2].endswith("/m3/readings"):
            raise ZeroDivisionError("no such case")
        return refusal(self, *message)

    monkeypatch.setattr(MeterAdmission, "refusal", fails)
    ingest = Ingest({"fac-001": {"m1"}})

    async def scenario() -> None:
        for n in range(6):
            ingest.send(f"meters/fac-001/m{n}/readings", reading())
        await ingest.until_confirmed(6)

    ingest.run(scenario)
    assert ingest.meters_counted == ["m1"]
    reasons = {one.topic: one.reason for one in ingest.refused}
    assert len(reasons) == 5
    assert reasons["meters/fac-001/m3/readings"] == "cannot be decided: ZeroDivisionError: no such case"


def test_invented_timestamps_open_few_days_of_the_past_at_once() -> None:
    ingest = Ingest({"fac-001": {"m1"}}, oldest_days=90)
    count = 390

    async def scenario() -> None:
        for days in range(count):
            ingest.send("meters/fac-001/m1/readings", reading(at=T0 - timedelta(days=days)))
        await ingest.until_confirmed(count)

    ingest.run(scenario)
    days_counted = {one.ts.date() for one in ingest.counted}
    assert len(days_counted) <= 32 + 3
    reasons = [one.reason for one in ingest.refused]
    assert sum("days old" in reason for reason in reasons) == count - 91
    assert sum(reason.startswith("late:") for reason in reasons) == count - len(days_counted) - (count - 91)


def test_one_facility_does_not_take_the_late_days_of_the_others() -> None:
    ingest = Ingest({"fac-001": {"m1"}, "fac-002": {"m1"}}, oldest_days=400)
    late = [T0 - timedelta(days=days) for days in range(3, 390)]

    async def scenario() -> None:
        for moment in late:
            ingest.send("meters/fac-001/m1/readings", reading(at=moment))
        ingest.send("meters/fac-002/m1/readings", *(reading(at=moment) for moment in reversed(late[-20:])))
        await ingest.until_confirmed(len(late) + 1)

    ingest.run(scenario)
    days = {
        name: [one.ts for one in ingest.counted if one.facility_id == name] for name in ("fac-001", "fac-002")
    }
    assert len(days["fac-001"]) == 32
    assert sorted(days["fac-002"]) == sorted(late[-20:])


def test_only_the_readings_of_days_that_cannot_be_opened_are_refused() -> None:
    ingest = Ingest({"fac-001": {"m1"}}, oldest_days=400)
    moments = [T0 - timedelta(days=days) for days in range(60)]
    sent: list[dict[str, object]] = [
        *(reading(at=moment) for moment in moments),
        reading("m9"),
        {"ts": "?", "kw": 1.0},
    ]

    async def scenario() -> None:
        ingest.send("meters/fac-001/m1/readings", *sent)
        await ingest.until_confirmed(1)

    ingest.run(scenario)
    assert sorted(one.ts for one in ingest.counted) == sorted(moments[: 3 + 32])
    [late] = [one for one in ingest.refused if one.reason.startswith("late:")]
    again = parse_message(late.topic, late.body, now=T0)
    assert [one.ts for one in again.readings] == moments[3 + 32 :]
    assert not again.malformed
