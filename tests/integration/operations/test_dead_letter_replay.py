"""Replaying dead letters on real stores: the work is queued again before the decision is recorded."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Never
from uuid import UUID

import msgspec
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from adapters.postgres.operations.open_work import PostgresOpenWork
from application.command_bus.bus import CommandBus
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.operations.dead_letter_replay import DeadLetterReplay, NotReplayable
from application.ports.dispatch.requested_work import BmsWork
from application.ports.operations.dead_letters import DeadLetter, DeadLetterDecided, DeadLetterQueue
from application.ports.telemetry.stream import StreamUnavailable
from application.telemetry.ingest.batch_codec import MalformedMessages, ReadingBatch, pack, unpack
from application.telemetry.ingest.message_parser import MalformedReading
from domain.administration import AdministrativeAct
from domain.dispatch import Dispatch, Phase, Setpoint, ZonePlan
from domain.errors import NotAllowedNow, ReasonRequired
from domain.event_sourcing.aggregate import Provenance
from domain.facility import BmsLink
from domain.telemetry.meter_reading import MALFORMED, MeterReading, partition_of
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import AnyMeter, FakeListedMeters
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.servers import Database

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
DR_EVENT_ID = UUID(int=42)
LETTER_ID = UUID(int=7)
PROVENANCE = Provenance(
    correlation_id=UUID(int=1),
    causation_id=UUID(int=2),
    actor="saga:dispatch",
    tenant="city-power",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    recorded_at=NOW,
)
READING = MeterReading("fac-001", "main", NOW, 10.0, 100.0)


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@dataclass
class Rig:
    store: PostgresEventStore
    letters: PostgresDeadLetters
    open_work: PostgresOpenWork
    stream: FakeTelemetryStream = field(default_factory=FakeTelemetryStream)
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    meters: FakeListedMeters = field(default_factory=AnyMeter)

    def park(self, queue: DeadLetterQueue, body: bytes, *, subject: str = "x", reason: str = "?") -> None:
        self.letters.park(
            DeadLetter(
                dead_letter_id=LETTER_ID,
                queue=queue,
                subject=subject,
                reason=reason,
                body=body,
                parked_at=NOW - timedelta(days=2),
            )
        )

    def replay(self, reason: str = "mended") -> DeadLetter:
        return asyncio.run(self._replaying().replay(LETTER_ID, by="operator:1", reason=reason))

    def replay_listed(self) -> int:
        return asyncio.run(self._replaying().replay_listed_meters(by="operator:1", reason="listed"))

    def _replaying(self) -> DeadLetterReplay:
        return DeadLetterReplay(
            dead_letters=self.letters,
            bus=CommandBus(self.store, StoppedClock(), HANDLERS, forecasts=FakeForecastBook()),
            clock=StoppedClock(),
            open_work=self.open_work,
            stream=lambda: nullcontext(self.stream),
            meters=self.meters,
            event_log=self.store,
            oldest_reading=timedelta(days=90),
        )

    @property
    def is_open(self) -> bool:
        return self.letters.get(LETTER_ID).status == "open"


@pytest.fixture
def rig(database: Database) -> Iterator[Rig]:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Rig(store, PostgresDeadLetters(pool), PostgresOpenWork(pool))
    store.close()


def begun(dispatch: Dispatch, phase: Phase) -> UUID:
    """Request and attempt the command of `phase`."""
    if phase == "prepare":
        dispatch.prepare(PROVENANCE)
    elif phase == "commit":
        dispatch.commit(PROVENANCE, not_after=NOW + timedelta(hours=1))
    else:
        dispatch.restore(PROVENANCE)
    command_id = dispatch.state.latest(phase)["zone-1"].command.command_id
    dispatch.attempt(PROVENANCE, command_id=command_id)
    return command_id


def succeeded(dispatch: Dispatch, command_id: UUID) -> None:
    dispatch.command_succeeded(
        PROVENANCE,
        command_id=command_id,
        executed_at=NOW,
        setpoint=Setpoint(value=22.0, unit="celsius"),
        learned_by="answer",
    )


def given_up(rig: Rig, phase: Phase) -> BmsWork:
    """Park the given-up command of `phase` of a dispatch."""
    zone = ZonePlan(zone_id="zone-1", target_kw=40.0, strategy="setpoint_offset", magnitude=2.0)
    dispatch = Dispatch.plan(
        PROVENANCE,
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        plan_revision=1,
        starts_at=NOW,
        ends_at=NOW + timedelta(hours=2),
        expires_at=NOW + timedelta(hours=3),
        target_kw=40.0,
        bms=BmsLink(address="https://bms.example", profile="two_phase"),
        zones=(zone,),
        forecast_id=None,
        data_quality="good",
    )
    command_id = begun(dispatch, "prepare")
    if phase != "prepare":
        succeeded(dispatch, command_id)
        command_id = begun(dispatch, "commit")
    if phase == "restore":
        succeeded(dispatch, command_id)
        command_id = begun(dispatch, "restore")
    dispatch.command_gave_up(PROVENANCE, command_id=command_id, was_sent=True, reason="no answer")
    rig.store.save([dispatch])
    work = BmsWork(
        task="command",
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        command_id=command_id,
        correlation_id=PROVENANCE.correlation_id,
        causation_id=UUID(int=3),
        tenant="city-power",
        trace_id=PROVENANCE.trace_id,
    )
    rig.park("bms_command", msgspec.json.encode(work))
    return work


def reissued(rig: Rig) -> list[Dispatch.BmsCommandReissued]:
    entries = rig.store.read_after(0, 1_000)
    return [e.domain_event for e in entries if isinstance(e.domain_event, Dispatch.BmsCommandReissued)]


def test_a_replayed_restore_is_reissued_under_its_command_id(rig: Rig) -> None:
    work = given_up(rig, "restore")

    decided = rig.replay("BMS rebooted")

    assert (decided.status, decided.decided_by, decided.decision_reason) == (
        "replayed",
        "operator:1",
        "BMS rebooted",
    )
    [happened] = reissued(rig)
    assert (happened.command_id, happened.reason, happened.actor) == (
        work.command_id,
        "BMS rebooted",
        "operator:1",
    )
    assert (happened.correlation_id, happened.causation_id) == (work.correlation_id, LETTER_ID)


def test_an_expired_commit_is_not_replayed_and_the_reason_is_given(rig: Rig) -> None:
    given_up(rig, "commit")

    with pytest.raises(NotAllowedNow, match="can no longer be replayed"):
        rig.replay()

    assert rig.is_open
    assert reissued(rig) == []


def test_a_replay_interrupted_before_its_decision_can_be_repeated(rig: Rig) -> None:
    given_up(rig, "restore")
    letters, rig.letters = rig.letters, CutShort(rig.letters)  # type: ignore[assignment]  # fails to decide
    with pytest.raises(ConnectionError):
        rig.replay()
    rig.letters = letters

    assert rig.replay().status == "replayed"
    assert len(reissued(rig)) == 1


class CutShort:
    """Dead letters that fail to record a decision."""

    def __init__(self, letters: PostgresDeadLetters) -> None:
        self._letters = letters

    def get(self, dead_letter_id: UUID) -> DeadLetter:
        return self._letters.get(dead_letter_id)

    def decide(self, dead_letter_id: UUID, **decision: Any) -> Never:
        raise ConnectionError("the process died")


def test_a_letter_is_replayed_once(rig: Rig) -> None:
    given_up(rig, "restore")
    rig.replay()

    with pytest.raises(DeadLetterDecided):
        rig.replay()


def test_a_replay_needs_a_reason(rig: Rig) -> None:
    rig.park("projection", b"")

    with pytest.raises(ReasonRequired):
        rig.replay(" ")


def test_a_message_with_a_future_time_is_replayed_after_that_time(rig: Rig) -> None:
    body = b'{"schema": 1, "ts": "2026-07-14T20:59:00Z", "kw": 10.0, "kwh_total": 100.0}'
    rig.park("meter_message", body, subject="meters/fac-001/main/readings")

    assert rig.replay().status == "replayed"

    [kept] = rig.stream.kept
    assert kept.partition == partition_of("fac-001")
    assert [(one.facility_id, one.kw) for one in unpack(kept.body).readings] == [("fac-001", 10.0)]


def test_a_message_that_is_still_malformed_is_not_replayed(rig: Rig) -> None:
    rig.park("meter_message", b"{", subject="meters/fac-001/main/readings")

    with pytest.raises(NotReplayable, match="still malformed"):
        rig.replay()

    assert rig.is_open


def test_a_message_of_an_unknown_meter_is_replayed_once_the_meter_is_listed(rig: Rig) -> None:
    rig.meters = FakeListedMeters({"fac-001": {"other"}})
    body = b'{"ts": "2026-07-14T20:59:00Z", "kw": 10.0, "kwh_total": 100.0}'
    rig.park("meter_message", body, subject="meters/fac-001/main/readings")

    with pytest.raises(NotReplayable, match="does not list main"):
        rig.replay()
    assert rig.is_open

    rig.meters.put("fac-001", {"main", "other"})
    assert rig.replay().status == "replayed"
    assert len(rig.stream.kept) == 1


def test_all_letters_of_listed_meters_are_replayed_in_one_act(rig: Rig) -> None:
    rig.meters = FakeListedMeters({"fac-001": {"m1", "m2"}})
    for number, meter in enumerate(("m1", "m2", "m3"), 1):
        rig.letters.park(
            DeadLetter(
                dead_letter_id=UUID(int=number),
                queue="meter_message",
                subject=f"meters/fac-001/{meter}/readings",
                reason="unknown meter: fac-001 does not list it",
                body=b'{"ts": "2026-07-14T20:59:00Z", "kw": 10.0, "kwh_total": 100.0}',
                parked_at=NOW,
            )
        )
    assert rig.replay_listed() == 2
    assert rig.replay_listed() == 0
    assert {letter.dead_letter_id.int for letter in rig.letters.listed()} == {3}
    [kept] = rig.stream.kept
    assert sorted(one.meter_id for one in unpack(kept.body).readings) == ["m1", "m2"]
    [act] = [entry.domain_event for entry in rig.store.read_after(0, 10)]
    assert isinstance(act, AdministrativeAct.DeadLettersDecided)
    assert (act.count, act.decision, act.actor) == (2, "replayed", "operator:1")


def test_a_reading_that_ingest_takes_for_too_old_is_not_replayed(rig: Rig) -> None:
    rig.park(
        "meter_message",
        b'{"ts": "2026-04-14T20:59:00Z", "kw": 10.0, "kwh_total": 100.0}',
        subject="meters/fac-001/main/readings",
        reason="unknown meter: fac-001 does not list it",
    )
    with pytest.raises(NotReplayable, match="more than 90 days old"):
        rig.replay()
    assert rig.replay_listed() == 0
    assert (rig.is_open, rig.stream.kept) == (True, [])


def test_a_batch_is_stored_again_in_its_partition(rig: Rig) -> None:
    batch = pack(ReadingBatch(received_at=NOW, readings=[READING]))
    rig.park("telemetry_batch", batch, subject="partition 3, sequence 5")

    rig.replay()

    assert [(kept.partition, kept.body) for kept in rig.stream.kept] == [(partition_of("fac-001"), batch)]


def test_a_batch_of_malformed_messages_is_stored_again_in_their_partition(rig: Rig) -> None:
    malformed = MalformedReading("meters/x", "odd", b"{")
    rig.park("telemetry_batch", pack(MalformedMessages(received_at=NOW, malformed=[malformed])))

    rig.replay()

    assert [kept.partition for kept in rig.stream.kept] == [MALFORMED]


@pytest.mark.parametrize("body", [b"\xff\xff", pack(ReadingBatch(received_at=NOW, readings=[]))])
def test_a_batch_without_usable_content_is_not_replayed(rig: Rig, body: bytes) -> None:
    rig.park("telemetry_batch", body)

    with pytest.raises(NotReplayable, match="discard it"):
        rig.replay()

    assert rig.is_open


def test_a_letter_stays_open_if_the_log_does_not_answer(rig: Rig) -> None:
    rig.park("telemetry_batch", pack(ReadingBatch(received_at=NOW, readings=[READING])))
    rig.stream.available = False

    with pytest.raises(StreamUnavailable):
        rig.replay()

    assert rig.is_open
