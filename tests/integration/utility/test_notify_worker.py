"""The watch worker on a real event store: what it records, parks and returns, and the state after its death."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.coordination.work_holder import PostgresWorkHolder
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.log_listener import LogListener
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from adapters.postgres.operations.open_work import PostgresOpenWork
from application.callback import (
    GIVE_UP_AFTER_S,
    CallbackCalls,
    ParkedCallback,
    recorded_callback,
    waited_s,
)
from application.command_bus.bus import CommandBus, TooManyConflicts
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.operations.dead_letter_replay import DeadLetterReplay, NotReplayable
from application.ports.dispatch.open_work import NotHeld, OpenWork
from application.ports.dispatch.requested_work import CallbackWork
from application.ports.event_store.event_store import EventStore, EventStoreUnavailable
from application.ports.operations.alerts import Alert, AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from domain.dr_event import DREvent, Notice
from domain.event_sourcing.aggregate import DomainEvent, Provenance
from interfaces.simulators.journal import Journal
from interfaces.simulators.utility import SimulatedUtility, UtilityFaults
from interfaces.workers.watch.notify import NotifyWorker
from tests.fakes.callback import FakeCallbackAddresses, FakeUtilityNotifier
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.telemetry.listed_meters import AnyMeter
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.open_alerts import look_at_letters
from tests.patience import ANSWER_S
from tests.servers import Database

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
URL = "http://127.0.0.1:9/callbacks"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
HOLDER = 7


class Killed(Exception):
    """Simulates SIGKILL: no later code runs."""


@dataclass(frozen=True)
class QuickClock:
    def now(self) -> datetime:
        return NOW

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds / 1_000


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
    dsn: str
    store: PostgresEventStore
    rows: PostgresOpenWork
    calls: CallbackCalls
    notifier: FakeUtilityNotifier
    letters: DeadLetters
    alerts: AlertRegistry
    deaths: "Deaths"

    def requested(
        self, *, utility_event_id: str = "U-1", url: str = URL, tenant: str | None = "city-power"
    ) -> CallbackWork:
        """A callback whose intent is recorded, so that its row is there."""
        provenance = Provenance(
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            actor="utility:city-power",
            tenant=tenant,
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
        return recorded_callback(self.store, self.store.head())

    def open_alerts(self) -> list[Alert]:
        look_at_letters(self.letters, self.alerts, at=NOW)
        return self.alerts.listed()

    def recorded(self, dr_event_id: UUID) -> list[DomainEvent]:
        entries = self.store.read_after(0, 1_000)
        return [entry.domain_event for entry in entries if entry.domain_event.originator_id == dr_event_id]

    def take(self, work: CallbackWork) -> OpenWork:
        """Its row, also if another worker has it."""
        self.rows.free(HOLDER)
        taken = self.rows.take_callbacks(HOLDER, at_most=100, at_once=100)
        [row] = [row for row in taken if self._callback_of(row) == work]
        return row

    def deliver(self, work: CallbackWork, *, tries: int = 1) -> float | None:
        """Take its row for that time, and finish it if it is over. Returns the pause otherwise."""
        row = msgspec.structs.replace(self.take(work), tries=tries)
        pause_s = asyncio.run(self.calls.carry_out(work, row))
        if pause_s is None:
            self.rows.finish([row])
        return pause_s

    def waiting(self) -> int:
        return sum(depth.rows for depth in self.rows.depths("callback"))

    def worker(self, calls: CallbackCalls | None = None) -> "Worker":
        return Worker(self, calls or self.calls)

    def _callback_of(self, row: OpenWork) -> CallbackWork:
        assert row.position is not None
        return recorded_callback(self.store, row.position)


@dataclass
class Worker:
    """A watch worker with a session of locks of its own."""

    rig: Rig
    calls: CallbackCalls

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        session = LockSession(self.rig.dsn)
        signal = LogListener(self.rig.dsn, "demand_response_events")
        worker = NotifyWorker(
            rows=self.rig.rows,
            holder=PostgresWorkHolder(session),
            signal=signal,
            event_log=self.rig.store,
            calls=self.calls,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(worker.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task
            await signal.aclose()
            await session.aclose()


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
        rows = PostgresOpenWork(pool)
        yield Rig(
            dsn=database.app_dsn,
            store=store,
            rows=rows,
            calls=CallbackCalls(
                store=store,
                event_log=store,
                rows=rows,
                bus=CommandBus(store, clock, HANDLERS, forecasts=FakeForecastBook()),
                notifier=notifier,
                addresses=FakeCallbackAddresses(),
                clock=clock,
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

    assert rig.deliver(work, tries=3) is None

    delivered = rig.recorded(work.dr_event_id)[-1]
    assert isinstance(delivered, DREvent.CallbackDelivered)
    assert (delivered.callback_id, delivered.attempts, delivered.status_code) == (work.callback_id, 3, 200)
    assert (delivered.actor, delivered.tenant) == ("worker:watch", "city-power")
    assert (delivered.causation_id, delivered.trace_id) == (work.causation_id, TRACE_ID)
    assert rig.waiting() == 0


def test_the_utility_is_that_of_the_dr_event_and_not_of_the_queue(rig: Rig) -> None:
    """The cancellation of an operator has no tenant, but its callback is signed."""
    work = rig.requested(tenant=None)
    assert work.utility_id == "none"

    rig.deliver(work)

    [told] = rig.notifier.told
    assert told.utility_id == "city-power"


def test_a_callback_whose_row_was_not_finished_is_not_sent_again(rig: Rig) -> None:
    work = rig.requested()
    assert asyncio.run(rig.calls.carry_out(work, rig.take(work))) is None

    assert rig.deliver(work, tries=2) is None

    assert rig.waiting() == 0
    assert len(rig.notifier.told) == 1


@pytest.mark.parametrize(
    ("place", "times_told"), [("watch.before_call", 1), ("watch.after_call", 2), ("watch.after_record", 1)]
)
def test_the_callback_of_a_killed_worker_is_finished_by_the_next(
    rig: Rig, place: str, times_told: int
) -> None:
    work = rig.requested()
    rig.deaths.planned.add(place)
    with pytest.raises(Killed, match=str(work.callback_id)):
        rig.deliver(work)

    assert rig.deliver(work, tries=2) is None

    assert rig.waiting() == 0
    assert [told.callback_id for told in rig.notifier.told] == [work.callback_id] * times_told
    kinds = [type(happened) for happened in rig.recorded(work.dr_event_id)]
    assert kinds.count(DREvent.CallbackDelivered) == 1


def test_a_failed_callback_is_put_off_with_a_growing_pause(rig: Rig) -> None:
    work = rig.requested()
    for tries, seconds in ((1, 5), (2, 10), (5, 80), (20, 900)):
        rig.notifier.fail_next("time_out")
        pause_s = rig.deliver(work, tries=tries)
        assert pause_s is not None
        assert max(0.05, seconds * 0.0008) <= pause_s <= max(0.05, seconds * 0.0012)

    assert rig.waiting() == 1
    assert rig.letters.listed() == []


def test_a_callback_that_fails_for_hours_becomes_a_dead_letter_with_an_alert(rig: Rig) -> None:
    work = rig.requested()
    last = next(n for n in range(1, 1_000) if waited_s(n) >= GIVE_UP_AFTER_S)
    rig.notifier.fail_next("time_out", "time_out")

    assert rig.deliver(work, tries=last - 1) is not None
    assert rig.deliver(work, tries=last) is None

    assert rig.waiting() == 0
    [letter] = rig.letters.listed(queue="callback")
    assert letter.reason == "nobody answers"
    parked = msgspec.json.decode(letter.body, type=ParkedCallback)
    assert recorded_callback(rig.store, parked.position) == work
    assert (parked.queue, parked.dr_event_id) == ("city-power", work.dr_event_id)
    [alert] = rig.open_alerts()
    assert (alert.name, alert.subject) == ("callback_undeliverable", letter.subject)
    undeliverable = rig.recorded(work.dr_event_id)[-1]
    assert isinstance(undeliverable, DREvent.CallbackUndeliverable)
    assert (undeliverable.attempts, undeliverable.reason) == (last, "nobody answers")


def test_a_definite_refusal_is_given_up_at_once(rig: Rig) -> None:
    work = rig.requested()
    rig.notifier.fail_next("refuse")

    assert rig.deliver(work) is None

    assert [letter.reason for letter in rig.letters.listed()] == ["HTTP 404"]
    assert isinstance(rig.recorded(work.dr_event_id)[-1], DREvent.CallbackUndeliverable)


def test_a_callback_that_was_given_up_is_not_taken_again(rig: Rig) -> None:
    work = rig.requested()
    rig.notifier.fail_next("refuse")
    rig.deliver(work)

    assert rig.waiting() == 0
    assert len(rig.notifier.told) == 1


def test_one_whose_worker_died_before_it_was_parked_is_sent_once_more_and_parked_once(rig: Rig) -> None:
    work = rig.requested()
    rig.deaths.planned.add("watch.before_park")
    rig.notifier.fail_next("refuse", "refuse")
    with pytest.raises(Killed):
        rig.deliver(work)
    assert rig.letters.listed() == []

    assert rig.deliver(work, tries=2) is None

    assert rig.waiting() == 0
    assert [letter.reason for letter in rig.letters.listed()] == ["HTTP 404"]


def test_a_worker_that_lost_its_row_parks_nothing(rig: Rig) -> None:
    work = rig.requested()
    row = rig.take(work)
    rig.rows.free(HOLDER)
    rig.notifier.fail_next("refuse")

    with pytest.raises(NotHeld):
        asyncio.run(rig.calls.carry_out(work, row))

    assert rig.letters.listed() == []
    assert rig.waiting() == 1


def test_a_callback_that_ends_its_worker_each_time_is_given_up_without_a_call(rig: Rig) -> None:
    work = rig.requested()

    assert rig.deliver(work, tries=1_000) is None

    assert rig.notifier.told == []
    assert len(rig.letters.listed()) == 1


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


@pytest.mark.parametrize(
    "error",
    [EventStoreUnavailable("no answer"), TooManyConflicts("lost 12 races")],
    ids=["away", "lost races"],
)
def test_the_worker_waits_out_a_temporary_failure_without_using_an_attempt(
    rig: Rig, error: Exception
) -> None:
    work = rig.requested()
    calls = replace(rig.calls, store=cast("EventStore", FailingStore(rig.store, failures=2, error=error)))

    async def scenario() -> None:
        async with rig.worker(calls).running():
            await until(lambda: not rig.waiting())

    asyncio.run(scenario())
    [recorded] = [one for one in rig.recorded(work.dr_event_id) if isinstance(one, DREvent.CallbackDelivered)]
    assert recorded.attempts == 1


def test_a_row_without_a_callback_is_parked_and_the_worker_continues(rig: Rig, database: Database) -> None:
    """Somebody made it up: no intent stands at its position, or another one."""
    work = rig.requested()
    with psycopg.connect(database.owner_dsn) as owner:
        for position in (1, 99_999):
            owner.execute(
                "INSERT INTO gridproof.open_work (kind, queue, position) VALUES ('callback', 'forged', %s)",
                (position,),
            )

    async def scenario() -> None:
        async with rig.worker().running():
            await until(lambda: not rig.waiting())

    asyncio.run(scenario())
    assert delivered(rig, [work]) == [work]
    assert len(rig.notifier.told) == 1
    reasons = sorted(letter.reason for letter in rig.letters.listed())
    assert [reason.partition(":")[0] for reason in reasons] == ["IntentNotRecorded"] * 2
    letter_id = rig.letters.listed()[0].dead_letter_id
    with pytest.raises(NotReplayable, match="discard it"):
        asyncio.run(replay_of(rig).replay(letter_id, by="operator:1", reason="x"))


def test_callbacks_are_tried_again_until_they_arrive(rig: Rig) -> None:
    """A callback that was given up arrives once it is replayed."""
    rig.notifier.fail_next("refuse", "time_out", "lost_answer")
    works = [rig.requested(utility_event_id=f"Q-{number}") for number in range(3)]

    async def scenario() -> None:
        async with rig.worker().running():
            await until(lambda: len(delivered(rig, works)) == 2 and len(rig.letters.listed()) == 1)

            # Which of the three was refused is random: they are sent concurrently.
            [given_up] = rig.letters.listed()
            await replay_of(rig).replay(given_up.dead_letter_id, by="operator:1", reason="path corrected")
            await until(lambda: len(delivered(rig, works)) == 3 and not rig.waiting())

    asyncio.run(scenario())
    [replayed] = rig.letters.listed(status="replayed")
    parked = msgspec.json.decode(replayed.body, type=ParkedCallback)
    refused = recorded_callback(rig.store, parked.position)
    assert rig.open_alerts() == []
    told = [told.callback_id for told in rig.notifier.told]
    assert told.count(refused.callback_id) == 2  # refused first, then replayed under the same id


def delivered(rig: Rig, works: list[CallbackWork]) -> list[CallbackWork]:
    states = {work.callback_id: rig.store.load(DREvent, work.dr_event_id).state for work in works}
    return [
        work for work in works if states[work.callback_id].callbacks[str(work.callback_id)] == "delivered"
    ]


async def until(condition: Any) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the condition is in other processes
            await asyncio.sleep(0.05)


def replay_of(rig: Rig) -> DeadLetterReplay:
    """The replay of callbacks, without a telemetry log."""
    return DeadLetterReplay(
        dead_letters=rig.letters,
        bus=rig.calls.bus,
        clock=QuickClock(),
        open_work=rig.rows,
        stream=lambda: nullcontext(FakeTelemetryStream(max_bytes=0)),
        meters=AnyMeter(),
        event_log=rig.store,
    )
