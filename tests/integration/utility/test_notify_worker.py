"""The notify worker on a real event store: what it records, parks and returns, and the state after its death."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from psycopg_pool import ConnectionPool

from adapters.nats.work_queue import CALLBACK_STREAM, NatsWorkQueue
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from application.callback import GIVE_UP_AFTER_S, CallbackCalls, dead_letter_id, waited_s
from application.command_bus.bus import CommandBus, TooManyConflicts
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.operations.dead_letter_replay import DeadLetterReplay
from application.ports.dispatch.work_queue import CallbackWork
from application.ports.event_store.event_store import EventStore, EventStoreUnavailable
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from domain.dr_event import DREvent, Notice
from domain.event_sourcing.aggregate import DomainEvent, Provenance
from interfaces.simulators.journal import Journal
from interfaces.simulators.utility import SimulatedUtility, UtilityFaults
from interfaces.workers.notify import NotifyWorker
from tests.fakes.callback import FakeCallbackAddresses, FakeUtilityNotifier
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.telemetry.listed_meters import AnyMeter
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.servers import Database

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
URL = "http://127.0.0.1:9/callbacks"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class Killed(Exception):
    """Simulates SIGKILL: no later code runs."""


@dataclass(frozen=True)
class QuickClock:
    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / 1_000


@dataclass
class Item:
    """A delivery of the queue."""

    body: bytes
    deliveries: int = 1
    is_done: bool = False
    pauses: list[float] = field(default_factory=list)

    async def done(self) -> None:
        self.is_done = True

    async def extend_lease(self) -> None:
        return

    async def redeliver_after(self, wall_s: float) -> None:
        self.pauses.append(wall_s)


@dataclass
class Deaths:
    """Failpoints that trigger once."""

    planned: set[str] = field(default_factory=set)

    def reached(self, name: str, in_flight: str) -> None:
        if name in self.planned:
            self.planned.remove(name)
            raise Killed(in_flight)


@dataclass
class Rig:
    store: PostgresEventStore
    calls: CallbackCalls
    notifier: FakeUtilityNotifier
    letters: DeadLetters
    alerts: AlertRegistry
    deaths: "Deaths"

    def requested(self, *, utility_event_id: str = "U-1", url: str = URL) -> CallbackWork:
        """A recorded intent, as the relay publishes it."""
        provenance = Provenance(
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            actor="utility:city-power",
            tenant="city-power",
            trace_id=TRACE_ID,
            recorded_at=NOW,
        )
        dr_event = DREvent.open(provenance, utility_id="city-power", utility_event_id=utility_event_id)
        notice = Notice(
            notification_id="n-1",
            modification_number=0,
            program_id="summer-peak",
            starts_at=NOW + timedelta(hours=1),
            ends_at=NOW + timedelta(hours=2),
            target_kw=100.0,
            facility_ids=("fac-001",),
            priority=1,
            callback_url=url,
        )
        dr_event.accept(
            provenance,
            notice=notice,
            program_version=1,
            capacity_kw=100,
            capacity_source="declared",
            shortfall_kw=0,
        )
        dr_event.request_callback(provenance, kind="accepted", body='{"kind":"accepted"}')
        self.store.save([dr_event])
        intent = self.recorded(dr_event.id)[-1]
        assert isinstance(intent, DREvent.CallbackRequested)
        return CallbackWork(
            dr_event_id=dr_event.id,
            callback_id=intent.callback_id,
            kind=intent.kind,
            utility_id="none",
            url=intent.url,
            body=intent.body,
            correlation_id=intent.correlation_id,
            causation_id=intent.domain_event_id,
            trace_id=intent.trace_id,
        )

    def recorded(self, dr_event_id: UUID) -> list[DomainEvent]:
        entries = self.store.read_after(0, 1_000)
        return [entry.domain_event for entry in entries if entry.domain_event.originator_id == dr_event_id]

    def deliver(self, work: CallbackWork, *, deliveries: int = 1) -> Item:
        item = Item(msgspec.json.encode(work), deliveries)
        asyncio.run(self.calls.carry_out(work, item))
        return item


@pytest.fixture
def rig(database: Database, tmp_path: Path) -> Iterator[Rig]:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    clock = QuickClock()
    journal = Journal(tmp_path / "callbacks.jsonl")
    utility = SimulatedUtility(clock=clock, journal=journal, secret=b"s", faults=UtilityFaults())
    notifier = FakeUtilityNotifier(
        {URL: utility},
        clock=clock,
        secret_of=lambda utility_id: b"s" if utility_id == "city-power" else None,
        allow_private=True,
    )
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4) as pool:
        deaths = Deaths()
        yield Rig(
            store=store,
            calls=CallbackCalls(
                store=store,
                bus=CommandBus(store, clock, HANDLERS, forecasts=FakeForecastBook()),
                notifier=notifier,
                addresses=FakeCallbackAddresses(),
                clock=clock,
                dead_letters=PostgresDeadLetters(pool),
                alerts=PostgresAlerts(pool),
                reached=deaths.reached,
            ),
            notifier=notifier,
            letters=PostgresDeadLetters(pool),
            alerts=PostgresAlerts(pool),
            deaths=deaths,
        )
    store.close()
    journal.close()


def test_a_delivered_callback_is_recorded_with_its_cause(rig: Rig) -> None:
    work = rig.requested()

    item = rig.deliver(work, deliveries=3)

    delivered = rig.recorded(work.dr_event_id)[-1]
    assert isinstance(delivered, DREvent.CallbackDelivered)
    assert (delivered.callback_id, delivered.attempts, delivered.status_code) == (work.callback_id, 3, 200)
    assert (delivered.actor, delivered.tenant) == ("worker:notify", "city-power")
    assert (delivered.causation_id, delivered.trace_id) == (work.causation_id, TRACE_ID)
    assert item.is_done


def test_the_utility_is_taken_from_the_record_and_not_from_the_message(rig: Rig) -> None:
    """The cancellation of an operator has no tenant, but its callback is signed."""
    work = rig.requested()

    rig.deliver(work)

    [told] = rig.notifier.told
    assert told.utility_id == "city-power"


def test_a_redelivered_callback_is_not_sent_again(rig: Rig) -> None:
    work = rig.requested()
    rig.deliver(work)

    item = rig.deliver(work, deliveries=2)

    assert item.is_done
    assert len(rig.notifier.told) == 1


@pytest.mark.parametrize(
    ("place", "times_told"), [("notify.before_call", 1), ("notify.after_call", 2), ("notify.after_record", 1)]
)
def test_the_callback_of_a_killed_worker_is_finished_by_the_next(
    rig: Rig, place: str, times_told: int
) -> None:
    work = rig.requested()
    rig.deaths.planned.add(place)
    with pytest.raises(Killed, match=str(work.callback_id)):
        rig.deliver(work)

    item = rig.deliver(work, deliveries=2)

    assert item.is_done
    assert [told.callback_id for told in rig.notifier.told] == [work.callback_id] * times_told
    kinds = [type(happened) for happened in rig.recorded(work.dr_event_id)]
    assert kinds.count(DREvent.CallbackDelivered) == 1


def test_a_failed_callback_is_returned_to_the_queue_with_a_growing_pause(rig: Rig) -> None:
    work = rig.requested()
    pauses = []
    for deliveries in (1, 2, 5, 20):
        rig.notifier.fail_next("time_out")
        item = rig.deliver(work, deliveries=deliveries)
        assert not item.is_done
        pauses += item.pauses

    assert len(pauses) == 4
    for pause, seconds in zip(pauses[1:], (10, 80, 900), strict=True):
        assert max(0.05, seconds * 0.0008) <= pause <= max(0.05, seconds * 0.0012)
    assert rig.letters.listed() == []


def test_a_callback_that_fails_for_hours_becomes_a_dead_letter_with_an_alert(rig: Rig) -> None:
    work = rig.requested()
    last = next(n for n in range(1, 1_000) if waited_s(n) >= GIVE_UP_AFTER_S)
    rig.notifier.fail_next("time_out", "time_out")

    assert not rig.deliver(work, deliveries=last - 1).is_done
    item = rig.deliver(work, deliveries=last)

    assert item.is_done
    [letter] = rig.letters.listed(queue="callback")
    assert (letter.reason, msgspec.json.decode(letter.body, type=CallbackWork)) == ("nobody answers", work)
    [alert] = rig.alerts.listed()
    assert (alert.name, alert.subject) == ("callback_undeliverable", letter.subject)
    undeliverable = rig.recorded(work.dr_event_id)[-1]
    assert isinstance(undeliverable, DREvent.CallbackUndeliverable)
    assert (undeliverable.attempts, undeliverable.reason) == (last, "nobody answers")


def test_a_definite_refusal_is_given_up_at_once(rig: Rig) -> None:
    work = rig.requested()
    rig.notifier.fail_next("refuse")

    assert rig.deliver(work).is_done

    assert [letter.reason for letter in rig.letters.listed()] == ["HTTP 404"]
    assert isinstance(rig.recorded(work.dr_event_id)[-1], DREvent.CallbackUndeliverable)


def test_a_redelivered_callback_that_was_given_up_is_not_sent(rig: Rig) -> None:
    work = rig.requested()
    rig.notifier.fail_next("refuse")
    rig.deliver(work)

    assert rig.deliver(work, deliveries=2).is_done
    assert len(rig.notifier.told) == 1


def test_a_message_that_ends_its_worker_each_time_is_given_up_without_a_call(rig: Rig) -> None:
    work = rig.requested()

    assert rig.deliver(work, deliveries=1_000).is_done

    assert rig.notifier.told == []
    assert len(rig.letters.listed()) == 1


def test_a_callback_without_a_dr_event_is_parked(rig: Rig) -> None:
    stray = msgspec.structs.replace(rig.requested(), dr_event_id=UUID(int=99))

    assert rig.deliver(stray).is_done

    [letter] = rig.letters.listed()
    assert "no DR event" in letter.reason


@dataclass
class FailingStore:
    """An event store that fails for the first few loads."""

    store: PostgresEventStore
    failures: int
    error: Exception

    def load(self, kind: Any, stream_id: UUID) -> Any:
        if self.failures:
            self.failures -= 1
            raise self.error
        return self.store.load(kind, stream_id)


@dataclass
class OneItem:
    """A queue with a single delivery."""

    item: Item | None
    redelivery_s: float = 30.0

    async def next_bms(self, facility_id: str, *, wait_s: float) -> None:
        return

    async def utilities_with_callbacks(self) -> list[str]:
        return [] if self.item is None else ["util-1"]

    async def next_callback(self, utility_id: str, *, wait_s: float) -> Item | None:
        item, self.item = self.item, None
        if item is None:
            await asyncio.sleep(0.01)
        return item


@pytest.mark.parametrize(
    "error",
    [EventStoreUnavailable("no answer"), TooManyConflicts("lost 12 races")],
    ids=["away", "lost races"],
)
def test_the_worker_waits_out_a_temporary_failure_without_using_an_attempt(
    rig: Rig, error: Exception
) -> None:
    work = rig.requested()
    item = Item(msgspec.json.encode(work))
    calls = replace(rig.calls, store=cast("EventStore", FailingStore(rig.store, failures=2, error=error)))

    async def scenario() -> None:
        stop = asyncio.Event()
        worker = asyncio.create_task(NotifyWorker(OneItem(item), calls).run(stop))
        await until(lambda: item.is_done)
        stop.set()
        await worker

    asyncio.run(scenario())
    assert item.pauses == []
    assert delivered(rig, [work]) == [work]


def test_a_deeply_nested_body_is_parked_and_the_worker_continues(rig: Rig) -> None:
    item = Item(b"[" * 100_000)

    async def scenario() -> None:
        stop = asyncio.Event()
        worker = asyncio.create_task(NotifyWorker(OneItem(item), rig.calls).run(stop))
        await until(lambda: item.is_done)
        stop.set()
        await worker

    asyncio.run(scenario())
    [letter] = rig.letters.listed()
    assert "not a callback" in letter.reason


def test_callbacks_are_redelivered_by_the_queue_until_they_arrive(rig: Rig, nats_url: str) -> None:
    """Failures are redelivered, invalid messages are parked, and a callback that was given up arrives once it is
    replayed."""
    rig.notifier.fail_next("refuse", "time_out", "lost_answer")
    works = [rig.requested(utility_event_id=f"Q-{number}") for number in range(3)]

    async def scenario() -> None:
        queue = await NatsWorkQueue.connect(nats_url, redelivery_s=2.0, name="test")
        await queue._js.purge_stream(CALLBACK_STREAM)  # remaining messages of other tests in this session
        for number, work in enumerate(works):
            await queue.publish_callback(work, message_id=f"{work.callback_id}:test{number}")
        await queue._js.publish("callback.work.none", b"\xff no callback")
        stop = asyncio.Event()
        worker = asyncio.create_task(NotifyWorker(queue, rig.calls).run(stop))
        await until(lambda: len(delivered(rig, works)) == 2 and len(rig.letters.listed()) == 2)

        # Which of the three was refused is random: they are sent concurrently.
        [given_up] = [letter for letter in rig.letters.listed() if letter.reason == "HTTP 404"]
        await replay_of(rig, queue).replay(given_up.dead_letter_id, by="operator:1", reason="path corrected")
        await until(lambda: len(delivered(rig, works)) == 3)
        stop.set()
        await worker
        await queue.aclose()

    asyncio.run(scenario())
    [replayed] = rig.letters.listed(status="replayed")
    refused = msgspec.json.decode(replayed.body, type=CallbackWork)
    assert replayed.dead_letter_id == dead_letter_id(refused)
    assert [alert.subject for alert in rig.alerts.listed()] == [
        "unknown"
    ]  # the letter of the invalid message only
    told = [told.callback_id for told in rig.notifier.told]
    assert told.count(refused.callback_id) == 2  # refused first, then replayed under the same id


def delivered(rig: Rig, works: list[CallbackWork]) -> list[CallbackWork]:
    states = {work.callback_id: rig.store.load(DREvent, work.dr_event_id).state for work in works}
    return [
        work for work in works if states[work.callback_id].callbacks[str(work.callback_id)] == "delivered"
    ]


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the condition is in other processes
            await asyncio.sleep(0.05)


def replay_of(rig: Rig, queue: NatsWorkQueue) -> DeadLetterReplay:
    """The replay of callbacks, without a telemetry log."""
    return DeadLetterReplay(
        dead_letters=rig.letters,
        bus=rig.calls.bus,
        alerts=rig.calls.alerts,
        clock=QuickClock(),
        publisher=lambda: nullcontext(queue),
        stream=lambda: nullcontext(FakeTelemetryStream(max_bytes=0)),
        meters=AnyMeter(),
        event_log=FakeEventStore(),
    )
