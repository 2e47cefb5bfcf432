"""Simultaneous commands on PostgreSQL, from the stores of several processes and from threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

import psycopg
import pytest

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import IdempotencyKey
from application.commands.dr_event import Judgement
from application.commands.facility import StartMaintenance
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from domain.dr_event import DREvent
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.patience import ANSWER_S
from tests.sample_values import CONTEXT, ENDS_AT, STARTS_AT, facility_entry, judge, portfolio_commands
from tests.servers import Database

ROUNDS = 8
PROCESSES = 3
FACILITIES = ("fac-001", "fac-002", "fac-003")
T = TypeVar("T")


@pytest.fixture
def buses(database: Database) -> Iterator[list[CommandBus]]:
    """One command bus per process, on one database with three facilities."""
    stores = [PostgresEventStore(DemandResponse, database.app_dsn) for _ in range(PROCESSES)]
    buses = [CommandBus(store, FakeClock(), HANDLERS, forecasts=FakeForecastBook()) for store in stores]
    entries = [facility_entry(facility_id, dr_events_per_day=50) for facility_id in FACILITIES]
    for command in portfolio_commands(*entries):
        buses[0].handle(command, CONTEXT)
    yield buses
    for store in stores:
        store.close()


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Run every call in its own thread, all started together."""
    barrier = Barrier(len(calls))

    def begin(call: Callable[[], T]) -> T:
        barrier.wait(timeout=ANSWER_S)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result(timeout=ANSWER_S) for future in [threads.submit(begin, call) for call in calls]]


def log_of(database: Database) -> list[str]:
    with psycopg.connect(database.app_dsn) as connection:
        rows = connection.execute(
            "SELECT topic FROM gridproof.demand_response_events ORDER BY notification_id"
        ).fetchall()
    return [str(row[0]) for row in rows]


def test_exactly_one_of_two_simultaneous_overlapping_dr_events_is_accepted(
    buses: list[CommandBus], database: Database
) -> None:
    for number in range(ROUNDS):
        day = timedelta(days=number)
        window: dict[str, Any] = {"starts_at": STARTS_AT + day, "ends_at": ENDS_AT + day, "target_kw": 100.0}
        one = judge(f"one-{number}", facility_ids=("fac-001", "fac-002"), **window)
        two = judge(f"two-{number}", facility_ids=("fac-003", "fac-002"), **window)
        answers = at_once(partial(buses[0].handle, one, CONTEXT), partial(buses[1].handle, two, CONTEXT))
        statuses = sorted(answer.status for answer in answers)
        assert statuses == ["accepted", "rejected"], number
        [rejected] = [answer for answer in answers if answer.status == "rejected"]
        assert [(r.code, r.facility_id) for r in rejected.reasons] == [("overlap", "fac-002")]

    log = log_of(database)
    assert log.count("dr-event.accepted.v1") == log.count("dr-event.rejected.v1") == ROUNDS
    assert log.count("facility.reserved.v1") == 2 * ROUNDS


def test_a_facility_is_reserved_before_a_simultaneous_maintenance_or_not_at_all(
    buses: list[CommandBus], database: Database
) -> None:
    maintenance = StartMaintenance(facility_id="fac-001", reason="boiler")
    answers = at_once(
        lambda: buses[0].handle(judge(facility_ids=("fac-001",), target_kw=80.0), CONTEXT),
        lambda: buses[1].handle(maintenance, CONTEXT),
    )
    log = log_of(database)
    reserved = "facility.reserved.v1" in log
    assert (answers[0].status == "accepted") == reserved
    if reserved:
        assert log.index("facility.reserved.v1") < log.index("facility.maintenance-started.v1")


@pytest.mark.parametrize("in_one_process", [True, False])
def test_simultaneous_identical_posts_create_one_dr_event_and_get_one_answer(
    buses: list[CommandBus], database: Database, in_one_process: bool
) -> None:
    key = IdempotencyKey(scope="util-1 POST", key="n-1", body_hash="body")
    command = judge(facility_ids=("fac-001", "fac-002"))
    answers = at_once(
        *(
            partial(
                buses[0 if in_one_process else number % PROCESSES].handle,
                command,
                CONTEXT,
                key=key,
                reply_type=Judgement,
            )
            for number in range(12)
        )
    )
    assert {answer.status for answer in answers} == {"accepted"}
    assert all(answer == answers[0] for answer in answers)
    log = log_of(database)
    assert log.count("dr-event.opened.v1") == log.count("dr-event.accepted.v1") == 1


def test_many_writers_of_one_stream_lose_nothing(buses: list[CommandBus], database: Database) -> None:
    """Each command meets conflicts, decides again on the new state, and is saved."""
    commands = [judge(f"e-{n}", facility_ids=("fac-001",), target_kw=80.0, **_slot(n)) for n in range(6)]
    answers = at_once(
        *(
            partial(buses[number % PROCESSES].handle, command, CONTEXT)
            for number, command in enumerate(commands)
        )
    )
    assert [answer.status for answer in answers] == ["accepted"] * 6
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    facility = store.load(Facility, facility_stream_id("fac-001"))
    assert len(facility.state.reservations) == 6
    assert {store.load(DREvent, answer.dr_event_id).state.status for answer in answers} == {"accepted"}
    store.close()


def _slot(number: int) -> dict[str, Any]:
    starts_at = STARTS_AT + number * timedelta(minutes=90)
    return {"starts_at": starts_at, "ends_at": starts_at + timedelta(hours=1)}
