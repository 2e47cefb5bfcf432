"""A late or corrected reading leads to a new measurement beside the old one, on a real PostgreSQL."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from adapters.postgres.forecast.forecast_book import PostgresForecastBook
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.command_bus.bus import CommandBus
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.measurement.correction_parking import CorrectionParking
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.telemetry.store import ImportedIntervals
from domain.dispatch import REMEASURED_FOR, Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility, Reservation
from domain.identifiers import correction_cause_id, dispatch_id, facility_stream_id
from domain.telemetry.meter_reading import MeterReading, partition_of
from interfaces.workers.compute import measure
from interfaces.workers.compute.measure import Measuring
from interfaces.workers.compute.remeasure import READER, RIPE_AFTER, Remeasuring
from projections.deadlines import DeadlineRow
from projections.dispatch.changes import planned_row
from projections.dispatch.projection import DispatchRow
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
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

FACILITY = "fac-001"
LAST_QUARTER = ENDS_AT - timedelta(minutes=15)
BEFORE = STARTS_AT - timedelta(hours=5)
"""From then on it has readings of its meter, and imported history before."""


class KilledBeforeItRemembers:
    """Reader positions of a worker that is killed after its work and before it moves its position."""

    def __init__(self, positions: ReaderPositions) -> None:
        self._positions = positions

    def position(self, reader: str) -> int:
        return self._positions.position(reader)

    def move(self, reader: str, position: int) -> None:
        raise KeyboardInterrupt


@dataclass
class RemeasurementSetup:
    """One facility, curtailed from 800 to 700 kW in the window of a DR event, and measured."""

    store: PostgresEventStore
    telemetry: PostgresTelemetryStore
    rollups: PostgresTelemetryRollups
    positions: PostgresReaderPositions
    clock: FakeClock
    bus: CommandBus
    batches: int = 0

    def readings(self, starts_at: datetime, ends_at: datetime, kw: float, *, revision: int = 0) -> None:
        """Write one reading a minute."""
        self.batches += 1
        minutes = int((ends_at - starts_at).total_seconds() // 60)
        self.telemetry.write_readings(
            partition_of(FACILITY),
            self.batches,
            [
                MeterReading(FACILITY, "main", starts_at + timedelta(minutes=n), kw, None, revision=revision)
                for n in range(minutes)
            ],
        )

    def finalize(self) -> None:
        self.rollups.finalize(partition_of(FACILITY), limit=1_000)

    def measure(self) -> int:
        due = DeadlineRow(
            kind="measure",
            stream_id=DR_EVENT_ID,
            due_at=ENDS_AT,
            dr_event_id=DR_EVENT_ID,
            facility_id=None,
            starts_at=STARTS_AT,
            ends_at=ENDS_AT,
            caused_by=CONTEXT.causation_id,
            correlation_id=CONTEXT.correlation_id,
            trace_id=TRACE,
            tenant=UTILITY,
        )
        measuring = Measuring(
            lambda now: [due],
            self.store,
            self.telemetry,
            self.bus,
            self.clock,
            FakeAlertRegistry(),
            FakePublicHolidays(),
        )
        return measuring.pass_once()

    def measure_again(self, positions: ReaderPositions | None = None) -> int:
        return self.remeasuring(positions).pass_once()

    def remeasuring(self, positions: ReaderPositions | None = None) -> Remeasuring:
        return Remeasuring(
            public_holidays=FakePublicHolidays(),
            corrections=self.rollups,
            positions=positions or self.positions,
            row_of=self._row,
            store=self.store,
            telemetry=self.telemetry,
            bus=self.bus,
            clock=self.clock,
            parking=CorrectionParking(FakeDeadLetters(), self.clock),
        )

    def facts(self) -> list[DomainEvent]:
        """The recorded measurements of the dispatch."""
        stated = (
            Dispatch.Measured,
            Dispatch.Remeasured,
            Dispatch.MeasurementWithdrawn,
            Dispatch.NotMeasurable,
        )
        entries = self.store.read_after(0, 1_000)
        return [e.domain_event for e in entries if isinstance(e.domain_event, stated)]

    def _row(self, key: str) -> DispatchRow | None:
        assert key == str(dispatch_id(DR_EVENT_ID, FACILITY))
        entries = self.store.read_after(0, 1_000)
        (planned,) = [e.domain_event for e in entries if isinstance(e.domain_event, Dispatch.Planned)]
        return planned_row(planned)


@pytest.fixture
def remeasurement(database: Database) -> Iterator[RemeasurementSetup]:
    clock = FakeClock(ENDS_AT + timedelta(minutes=3), speed=1_000)
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    with ConnectionPool(database.app_dsn, min_size=1, max_size=4, open=True) as pool:
        bus = CommandBus(store, clock, HANDLERS, forecasts=PostgresForecastBook(pool))
        for command in portfolio_commands(facility_entry(FACILITY)):
            bus.handle(command, CONTEXT)
        made = RemeasurementSetup(
            store=store,
            telemetry=PostgresTelemetryStore(pool, clock),
            rollups=PostgresTelemetryRollups(pool, clock),
            positions=PostgresReaderPositions(pool),
            clock=clock,
            bus=bus,
        )
        _run_dr_event(store)
        _history(made.telemetry)
        made.readings(BEFORE, STARTS_AT, 600.0)
        made.readings(STARTS_AT, LAST_QUARTER, 700.0)
        yield made
    store.close()


def _run_dr_event(store: PostgresEventStore) -> None:
    dr_event = DREvent.open(provenance(), utility_id=UTILITY, utility_event_id=UTILITY_EVENT)
    dr_event.accept(
        provenance(),
        notice=notice(facility_ids=(FACILITY,)),
        program_version=1,
        capacity_kw=300.0,
        capacity_source="forecast",
        shortfall_kw=0.0,
    )
    dr_event.schedule(provenance(), prepare_at=NOW, targets=(target(FACILITY),), missing_kw=0.0)
    dispatch = Dispatch.plan(
        provenance(),
        dr_event_id=DR_EVENT_ID,
        facility_id=FACILITY,
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
    dispatch.record(Dispatch.Committed, provenance(STARTS_AT))
    facility = store.load(Facility, facility_stream_id(FACILITY))
    facility.reserve(
        provenance(),
        Reservation(dr_event_id=DR_EVENT_ID, starts_at=STARTS_AT, ends_at=ENDS_AT, prepared_from=STARTS_AT),
    )
    store.save([dr_event, dispatch, facility])


def _history(telemetry: PostgresTelemetryStore) -> None:
    """A history of 46 days with 600 kW, and 800 kW in the hours of the window."""
    first_s = int((STARTS_AT - timedelta(days=46)).timestamp())
    starts_s = np.arange(first_s, int(BEFORE.timestamp()), 900)
    hour = (starts_s / 3600) % 24
    kw = np.where((hour >= 21) & (hour < 23), 800.0, 600.0)
    count = len(starts_s)
    telemetry.import_intervals(
        ImportedIntervals(
            (FACILITY,), np.zeros(count, int), starts_s, np.full(count, 900), kw, np.full(count, np.nan)
        )
    )


def test_late_and_corrected_readings_add_one_measurement_beside_the_first(
    remeasurement: RemeasurementSetup,
) -> None:
    remeasurement.clock.moment = ENDS_AT + timedelta(minutes=40)
    remeasurement.finalize()
    assert remeasurement.measure() == 1
    remeasurement.clock.moment += RIPE_AFTER  # finalized hours after the measurement
    remeasurement.measure_again()
    assert len(remeasurement.facts()) == 1, "equal figures without a correction are not recorded"

    remeasurement.clock.moment = ENDS_AT + timedelta(days=1)
    remeasurement.readings(
        LAST_QUARTER, ENDS_AT, 780.0
    )  # a gateway sends the last quarter-hour after an outage
    remeasurement.readings(STARTS_AT, STARTS_AT + timedelta(minutes=15), 740.0, revision=1)
    remeasurement.finalize()
    corrected_at = remeasurement.clock.moment
    remeasurement.measure_again()
    assert len(remeasurement.facts()) == 1, "a recent correction waits for further ones"
    remeasurement.clock.moment += RIPE_AFTER
    with pytest.raises(KeyboardInterrupt):
        remeasurement.measure_again(KilledBeforeItRemembers(remeasurement.positions))
    remeasurement.measure_again()
    assert remeasurement.measure_again() == 0

    first, second = remeasurement.facts()
    assert isinstance(first, Dispatch.Measured)
    assert isinstance(second, Dispatch.Remeasured)
    assert [first.figures.delivered_kw, first.figures.coverage_pct] == pytest.approx([100.0, 87.5])
    # Six quarter-hours of 100 kW, one of 60 and one of 20.
    assert [second.figures.delivered_kw, second.figures.coverage_pct] == pytest.approx([85.0, 100.0])
    assert (second.revision, second.previous_kw) == (2, first.figures.delivered_kw)
    assert second.corrected_at == corrected_at
    corrections = remeasurement.rollups.corrections_after(0, limit=100)
    assert second.causation_id in {correction_cause_id(one.correction_id) for one in corrections}
    assert (second.correlation_id, second.tenant, second.trace_id) == (CONTEXT.correlation_id, UTILITY, TRACE)
    assert remeasurement.positions.position(READER) == corrections[-1].correction_id


def test_a_corrected_baseline_day_causes_a_new_measurement(remeasurement: RemeasurementSetup) -> None:
    remeasurement.clock.moment = ENDS_AT + timedelta(minutes=40)
    remeasurement.readings(LAST_QUARTER, ENDS_AT, 700.0)
    remeasurement.finalize()
    remeasurement.measure()
    remeasurement.clock.moment = ENDS_AT + timedelta(days=1)
    yesterday = STARTS_AT - timedelta(days=1)
    remeasurement.readings(yesterday, yesterday + timedelta(hours=2), 900.0)
    remeasurement.finalize()
    remeasurement.clock.moment += RIPE_AFTER
    assert remeasurement.measure_again() == 1
    *_, second = remeasurement.facts()
    assert isinstance(second, Dispatch.Remeasured)
    # One of the ten days is 100 kW higher.
    assert second.figures.delivered_kw == pytest.approx(110.0)


def test_the_worker_measures_again_after_a_correction(
    remeasurement: RemeasurementSetup, database: Database
) -> None:
    remeasurement.clock.moment = ENDS_AT + timedelta(minutes=40)
    remeasurement.finalize()
    remeasurement.measure()
    remeasurement.readings(LAST_QUARTER, ENDS_AT, 780.0)
    remeasurement.finalize()
    remeasurement.clock.moment += RIPE_AFTER
    stop = asyncio.Event()

    async def watch() -> None:
        async with asyncio.timeout(ANSWER_S):
            while len(await asyncio.to_thread(remeasurement.facts)) < 2:  # noqa: ASYNC110 - a log sends no signal
                await asyncio.sleep(0.05)
        stop.set()

    async def scenario() -> None:
        measuring = Measuring(
            lambda now: [],
            remeasurement.store,
            remeasurement.telemetry,
            remeasurement.bus,
            remeasurement.clock,
            FakeAlertRegistry(),
            FakePublicHolidays(),
        )
        async with aclosing(AdvisoryLocks(LockSession(database.app_dsn))) as locks:
            worker = measure.run(
                measuring=measuring, others=[remeasurement.remeasuring()], locks=locks, stop=stop
            )
            await asyncio.wait_for(asyncio.gather(worker, watch()), ANSWER_S)

    asyncio.run(scenario())
    assert isinstance(remeasurement.facts()[-1], Dispatch.Remeasured)


def test_a_correction_after_the_last_day_is_skipped_without_a_measurement(
    remeasurement: RemeasurementSetup,
) -> None:
    remeasurement.clock.moment = ENDS_AT + timedelta(minutes=40)
    remeasurement.finalize()
    remeasurement.measure()
    remeasurement.clock.moment = ENDS_AT + REMEASURED_FOR
    remeasurement.readings(LAST_QUARTER, ENDS_AT, 700.0)
    remeasurement.finalize()
    remeasurement.clock.moment += RIPE_AFTER
    assert remeasurement.measure_again() == 0
    assert len(remeasurement.facts()) == 1
    assert remeasurement.positions.position(READER) > 0
