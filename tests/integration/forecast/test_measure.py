"""The compute worker on a real PostgreSQL: the delivery of a DR event is recorded once, with its provenance."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.command_bus.bus import CommandBus
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.ports.telemetry.store import ImportedIntervals
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent
from domain.identifiers import dispatch_id
from interfaces.workers.compute import measure
from interfaces.workers.compute.measure import Measuring
from projections.deadlines import DeadlineRow
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.public_holidays import FakePublicHolidays
from tests.patience import ANSWER_S
from tests.sample_values import (
    BMS,
    CONTEXT,
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    TRACE,
    UTILITY,
    UTILITY_EVENT,
    facility_entry,
    notice,
    portfolio_commands,
    provenance,
    target,
)
from tests.servers import Database

IDS = ("fac-001", "fac-002", "fac-003")
CAUSE = UUID(int=0xDEAD)
AFTER = ENDS_AT + timedelta(minutes=3)
QUARTER_S = 900


@dataclass
class MeasurementSetup:
    """Three facilities in a DR event: two committed, one that failed."""

    store: PostgresEventStore
    telemetry: PostgresTelemetryStore
    clock: FakeClock
    measuring: Measuring

    def dispatch(self, facility_id: str) -> DispatchState:
        return self.store.load(Dispatch, dispatch_id(DR_EVENT_ID, facility_id)).state

    def last_fact(self, facility_id: str) -> object:
        entries = self.store.read_after(0, 1_000)
        stream = dispatch_id(DR_EVENT_ID, facility_id)
        return [e.domain_event for e in entries if e.domain_event.originator_id == stream][-1]

    def meter(
        self, facility_ids: Sequence[str], *, shed_kw: float, until: datetime = ENDS_AT, days: int = 46
    ) -> None:
        """Write readings: 600 kW before and 800 kW in the window of every day, less `shed_kw` in the event window."""
        first_s = int((STARTS_AT - timedelta(days=days)).timestamp())
        starts_s = np.arange(first_s, int(until.timestamp()), QUARTER_S)
        hour = (starts_s / 3600) % 24
        kw = np.where((hour >= 21) & (hour < 23), 800.0, 600.0)
        kw = kw - np.where(starts_s >= int(STARTS_AT.timestamp()), shed_kw, 0.0)
        times, count = len(facility_ids), len(starts_s)
        self.telemetry.import_intervals(
            ImportedIntervals(
                tuple(facility_ids),
                np.repeat(np.arange(times), count),
                np.tile(starts_s, times),
                np.full(times * count, QUARTER_S),
                np.tile(kw, times),
                np.full(times * count, np.nan),
            )
        )


def deadline(kind: str, due_at: datetime) -> DeadlineRow:
    return DeadlineRow(
        kind=kind,  # type: ignore[arg-type]
        stream_id=DR_EVENT_ID,
        due_at=due_at,
        dr_event_id=DR_EVENT_ID,
        facility_id=None,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        caused_by=CAUSE,
        correlation_id=CONTEXT.correlation_id,
        trace_id=TRACE,
        tenant=UTILITY,
    )


DEADLINES = [deadline("end", ENDS_AT), deadline("measure", ENDS_AT + timedelta(minutes=2))]


@pytest.fixture
def measurement(database: Database) -> Iterator[MeasurementSetup]:
    clock = FakeClock(AFTER, speed=1_000)
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=4, open=True) as pool:
        telemetry = PostgresTelemetryStore(pool, clock)
        bus = CommandBus(store, clock, HANDLERS, forecasts=PostgresForecastBook(pool))
        for command in portfolio_commands(*(facility_entry(one) for one in IDS)):
            bus.handle(command, CONTEXT)
        run_dr_event(store)
        measuring = Measuring(
            public_holidays=FakePublicHolidays(),
            due=lambda now: [row for row in DEADLINES if row.due_at <= now],
            store=store,
            telemetry=telemetry,
            bus=bus,
            clock=clock,
            alerts=FakeAlertRegistry(),
        )
        yield MeasurementSetup(store, telemetry, clock, measuring)
    store.close()


def run_dr_event(store: PostgresEventStore) -> None:
    """Accept, plan and start a DR event in which fac-003 fails before it is committed."""
    dr_event = DREvent.open(provenance(), utility_id=UTILITY, utility_event_id=UTILITY_EVENT)
    dr_event.accept(
        provenance(),
        notice=notice(facility_ids=IDS),
        program_version=1,
        capacity_kw=300.0,
        capacity_source="forecast",
        shortfall_kw=0.0,
    )
    targets = tuple(target(one) for one in IDS)
    dr_event.schedule(provenance(), prepare_at=NOW, targets=targets, missing_kw=0.0)
    dispatches = [plan(one) for one in IDS]
    for dispatch in dispatches[:2]:
        dispatch.record(Dispatch.Committed, provenance(STARTS_AT))
    dispatches[2].record(Dispatch.Failed, provenance(STARTS_AT), phase="prepare", reason="refused")
    store.save([dr_event, *dispatches])


def plan(facility_id: str) -> Dispatch:
    return Dispatch.plan(
        provenance(),
        dr_event_id=DR_EVENT_ID,
        facility_id=facility_id,
        plan_revision=1,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        expires_at=ENDS_AT + timedelta(minutes=30),
        target_kw=100.0,
        bms=BMS,
        zones=(),
        forecast_id=None,
        data_quality="full",
    )


def test_every_committed_dispatch_is_measured_once_with_its_provenance(measurement: MeasurementSetup) -> None:
    measurement.meter(IDS, shed_kw=90.0)
    assert measurement.measuring.pass_once() == 2
    assert measurement.measuring.pass_once() == 0
    for facility_id in IDS[:2]:
        fact = measurement.last_fact(facility_id)
        assert isinstance(fact, Dispatch.Measured)
        assert fact.figures.delivered_kw == pytest.approx(90.0)
        assert (fact.figures.baseline_method, fact.figures.coverage_pct) == ("caiso-10-in-10", 100.0)
        assert len(fact.figures.days) == 10
        assert (fact.actor, fact.tenant, fact.trace_id) == ("worker:compute", UTILITY, TRACE)
        assert (fact.correlation_id, fact.causation_id) == (CONTEXT.correlation_id, CAUSE)
    assert not measurement.dispatch("fac-003").measured


def test_nothing_is_measured_before_it_is_due(measurement: MeasurementSetup) -> None:
    measurement.meter(IDS, shed_kw=0.0)
    measurement.clock.moment = ENDS_AT + timedelta(seconds=30)
    measurement.measuring.pass_once()
    assert not measurement.dispatch("fac-001").measured


def test_a_measurement_waits_for_the_readings_of_the_window(measurement: MeasurementSetup) -> None:
    measurement.meter(IDS, shed_kw=90.0, until=ENDS_AT - timedelta(minutes=30))
    measurement.meter(["fac-002"], shed_kw=90.0)
    measurement.measuring.pass_once()
    assert (measurement.dispatch("fac-001").measured, measurement.dispatch("fac-002").measured) == (
        False,
        True,
    )
    measurement.meter(["fac-001"], shed_kw=80.0)
    measurement.measuring.pass_once()
    assert measurement.dispatch("fac-001").delivered_kw == pytest.approx(80.0)


def test_incomplete_readings_are_measured_or_reported_not_measurable_after_half_an_hour(
    measurement: MeasurementSetup,
) -> None:
    measurement.meter(["fac-001"], shed_kw=90.0, until=ENDS_AT - timedelta(minutes=30))
    measurement.clock.moment = ENDS_AT + timedelta(minutes=30)
    measurement.measuring.pass_once()
    partial = measurement.last_fact("fac-001")
    assert isinstance(partial, Dispatch.Measured)
    assert partial.figures.coverage_pct == 75.0
    assert partial.figures.delivered_kw == pytest.approx(90.0)
    silent = measurement.last_fact("fac-002")
    assert isinstance(silent, Dispatch.NotMeasurable)
    assert "only 0 of 10 baseline days" in silent.reason


def test_too_little_history_is_not_measurable_and_reported_with_the_count(
    measurement: MeasurementSetup,
) -> None:
    measurement.meter(IDS, shed_kw=90.0, days=9)
    measurement.measuring.pass_once()
    fact = measurement.last_fact("fac-001")
    assert isinstance(fact, Dispatch.NotMeasurable)
    assert "of 10 baseline days" in fact.reason


def test_the_meter_confirms_the_curtailment_during_the_window(measurement: MeasurementSetup) -> None:
    until = STARTS_AT + timedelta(minutes=15)
    measurement.meter(["fac-001"], shed_kw=90.0, until=until)
    measurement.meter(["fac-002"], shed_kw=20.0, until=until)
    measurement.clock.moment = until + timedelta(minutes=1)
    assert measurement.measuring.pass_once() == 1
    fact = measurement.last_fact("fac-001")
    assert isinstance(fact, Dispatch.VerifiedByMeter)
    assert fact.delivered_kw == pytest.approx(90.0)
    assert fact.measured_at == until
    assert measurement.dispatch("fac-002").status == "committed"
    assert measurement.measuring.pass_once() == 0


def test_the_worker_measures_until_it_is_stopped(measurement: MeasurementSetup, database: Database) -> None:
    measurement.meter(IDS, shed_kw=90.0)
    stop = asyncio.Event()

    async def watch() -> None:
        await asyncio.to_thread(_wait_until, lambda: measurement.dispatch("fac-002").measured)
        stop.set()

    async def scenario() -> None:
        async with aclosing(AdvisoryLocks(LockSession(database.app_dsn))) as locks:
            worker = measure.run(measuring=measurement.measuring, locks=locks, stop=stop)
            await asyncio.wait_for(asyncio.gather(worker, watch()), ANSWER_S)

    asyncio.run(scenario())
    assert measurement.dispatch("fac-001").delivered_kw == pytest.approx(90.0)


def test_two_workers_that_both_act_as_leader_measure_once(measurement: MeasurementSetup) -> None:
    measurement.meter(IDS, shed_kw=90.0)
    threads = [threading.Thread(target=measurement.measuring.pass_once) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    measured = [
        entry
        for entry in measurement.store.read_after(0, 1_000)
        if isinstance(entry.domain_event, Dispatch.Measured)
    ]
    assert len(measured) == 2


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + ANSWER_S
    while not reached():
        assert time.monotonic() < deadline_s, "the condition was not met in time"
        time.sleep(0.05)
