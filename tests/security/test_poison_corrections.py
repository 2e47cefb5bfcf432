"""Corrections that fail to be measured again are parked with an alert, and delay those of no other facility."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Never, TypeVar, cast
from uuid import UUID

import numpy as np
import pytest
from structlog.testing import capture_logs

from application.command_bus.bus import CommandBus
from application.command_bus.retry import MAX_TRIES
from application.event_store.event_mapper import UnknownTopic
from application.handlers import HANDLERS
from application.measurement.correction_parking import CorrectionParking
from application.operations.dead_letter_decisions import discard
from application.operations.dead_letter_replay import DeadLetterReplay, NotReplayable
from application.ports.operations.dead_letters import DeadLetter
from application.ports.telemetry.rollups import CorrectedInterval
from application.ports.telemetry.store import TelemetryStoreUnavailable
from domain.dispatch import REMEASURED_FOR, Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import Aggregate
from domain.facility import Facility, Reservation
from domain.identifiers import dispatch_id, facility_stream_id
from domain.telemetry.intervals import INTERVAL_S
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import TimeWindow
from interfaces.workers.compute.remeasure import MARGIN, READER, RIPE_AFTER, Remeasuring
from projections.dispatch.changes import planned_row
from projections.dispatch.projection import DispatchRow, key_of
from tests.fakes.clock import FakeClock
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.public_holidays import FakePublicHolidays
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.measured_figures import figures
from tests.open_alerts import look_at_letters
from tests.sample_values import (
    BMS,
    CONTEXT,
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    facility_entry,
    notice,
    portfolio_commands,
    provenance,
    target,
)

POISON, OTHER = "fac-001", "fac-002"
CORRECTED_AT = ENDS_AT + timedelta(hours=6)
TAggregate = TypeVar("TAggregate", bound=Aggregate[Any])


class Store(FakeEventStore):
    """Fails to load the streams in `errors`."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[UUID, Exception] = {}

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        if stream_id in self.errors:
            raise self.errors[stream_id]
        return super().load(aggregate_class, stream_id)


class Telemetry:
    """Readings that are all gone; fails for the facilities in `errors`."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}

    def interval_series_of(self, facility_ids: Sequence[str], window: TimeWindow) -> IntervalBlock:
        (facility_id,) = facility_ids
        if facility_id in self.errors:
            raise self.errors[facility_id]
        nothing = np.empty((1, 0))
        return IntervalBlock(
            (facility_id,),
            window.starts_at,
            INTERVAL_S,
            nothing,
            nothing,
            nothing,
            np.empty((1, 0), dtype=np.bool_),
        )


class Corrections:
    def __init__(self) -> None:
        self.all: list[CorrectedInterval] = []

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        return [one for one in self.all if one.correction_id > correction_id][:limit]

    def correct(self, *facility_ids: str, at: datetime = CORRECTED_AT) -> None:
        for facility_id in facility_ids:
            self.all.append(
                CorrectedInterval(
                    correction_id=len(self.all) + 1,
                    facility_id=facility_id,
                    starts_at=STARTS_AT,
                    old_mean_kw=700.0,
                    new_mean_kw=None,
                    old_kwh=None,
                    new_kwh=None,
                    corrected_at=at,
                )
            )


class World:
    """A DR event of two facilities, both measured."""

    def __init__(self) -> None:
        self.store, self.telemetry, self.corrections = Store(), Telemetry(), Corrections()
        self.clock = FakeClock(CORRECTED_AT + RIPE_AFTER)
        self.bus = CommandBus(self.store, self.clock, HANDLERS, forecasts=FakeForecastBook())
        self.letters, self.alerts = FakeDeadLetters(), FakeAlertRegistry()
        self.positions, self.rows = FakeReaderPositions(), dict[str, DispatchRow]()
        for command in portfolio_commands(facility_entry(POISON), facility_entry(OTHER)):
            self.bus.handle(command, CONTEXT)
        dr_event = DREvent.open(provenance(), utility_id=UTILITY, utility_event_id=UTILITY_EVENT)
        dr_event.accept(
            provenance(),
            notice=notice(),
            program_version=1,
            capacity_kw=300.0,
            capacity_source="forecast",
            shortfall_kw=0.0,
        )
        targets = (target(POISON), target(OTHER))
        dr_event.schedule(provenance(), prepare_at=NOW, targets=targets, missing_kw=0.0)
        self.store.save([dr_event, *(one for each in (POISON, OTHER) for one in self._served(each))])
        self.remeasuring = self.restarted()

    def restarted(self) -> Remeasuring:
        return Remeasuring(
            public_holidays=FakePublicHolidays(),
            corrections=cast("Any", self.corrections),
            positions=self.positions,
            row_of=self.rows.get,
            store=self.store,
            telemetry=cast("Any", self.telemetry),
            bus=self.bus,
            clock=self.clock,
            parking=CorrectionParking(self.letters, self.clock),
        )

    def passes(self, count: int = 1) -> None:
        with capture_logs():
            for _ in range(count):
                self.remeasuring.pass_once()

    def measured_again(self, facility_id: str) -> bool:
        stream = dispatch_id(DR_EVENT_ID, facility_id)
        return FakeEventStore.load(self.store, Dispatch, stream).state.measurements > 1

    @property
    def position(self) -> int:
        return self.positions.position(READER)

    def parked(self) -> list[tuple[str, str]]:
        return [(letter.queue, letter.subject) for letter in self.letters.listed()]

    def open_alerts(self) -> list[tuple[str, str]]:
        look_at_letters(self.letters, self.alerts, at=NOW)
        return [(alert.name, alert.subject) for alert in self.alerts.listed()]

    def replay(self) -> DeadLetter:
        def never() -> Never:
            raise AssertionError("no server is needed")

        replay = DeadLetterReplay(
            self.letters,
            self.bus,
            self.clock,
            FakeOpenWork(self.letters),
            never,
            FakeListedMeters(),
            self.store,
            self.restarted().measure_parked,
        )
        (letter,) = self.letters.listed()
        with capture_logs():
            return asyncio.run(replay.replay(letter.dead_letter_id, by="operator:1", reason="mended"))

    def _served(self, facility_id: str) -> tuple[Dispatch, Facility]:
        dispatch = Dispatch.plan(
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
        self.rows[key_of(DR_EVENT_ID, facility_id)] = planned_row(cast("Any", dispatch.pending_events[0]))
        dispatch.record(Dispatch.Committed, provenance(STARTS_AT))
        dispatch.measure(provenance(ENDS_AT), figures=figures())
        facility = self.store.load(Facility, facility_stream_id(facility_id))
        facility.reserve(
            provenance(),
            Reservation(
                dr_event_id=DR_EVENT_ID, starts_at=STARTS_AT, ends_at=ENDS_AT, prepared_from=STARTS_AT
            ),
        )
        return dispatch, facility


@pytest.fixture
def world() -> World:
    world = World()
    world.corrections.correct(POISON, OTHER, POISON)
    return world


@pytest.mark.parametrize("what", ["readings", "facility", "dispatch"])
def test_corrections_that_fail_are_parked_after_five_tries_and_delay_no_other(
    world: World, what: str
) -> None:
    error = KeyError("a defect")
    if what == "readings":
        world.telemetry.errors[POISON] = error
    else:
        facility, dispatch = facility_stream_id(POISON), dispatch_id(DR_EVENT_ID, POISON)
        world.store.errors[facility if what == "facility" else dispatch] = error
    world.passes()
    assert world.measured_again(OTHER)
    world.passes(MAX_TRIES - 2)
    assert (world.position, world.parked()) == (0, []), "the cause may pass"
    world.passes()
    assert (world.position, world.parked()) == (3, [("correction", POISON)])
    assert world.open_alerts() == [("poison_batch", f"corrections/{POISON}")]
    world.passes()
    assert len(world.parked()) == 1


def test_a_replay_measures_again_once_the_cause_is_gone(world: World) -> None:
    world.telemetry.errors[POISON] = KeyError("a defect")
    world.passes(MAX_TRIES)
    with pytest.raises(NotReplayable, match="failed again"):
        world.replay()
    assert len(world.parked()) == 1
    world.telemetry.errors.clear()
    assert world.replay().status == "replayed"
    assert world.measured_again(POISON)
    assert (world.parked(), world.open_alerts()) == ([], [])


def test_corrections_that_are_no_longer_stored_can_only_be_discarded(world: World) -> None:
    world.telemetry.errors[POISON] = KeyError("a defect")
    world.passes(MAX_TRIES)
    world.corrections.all.clear()
    with pytest.raises(NotReplayable, match="no longer stored"):
        world.replay()
    (letter,) = world.letters.listed()
    discard(
        letter.dead_letter_id,
        world.letters,
        by="operator:1",
        reason="old",
        at=world.clock.now(),
    )
    assert world.open_alerts() == []


def test_a_failure_that_passes_parks_nothing(world: World) -> None:
    world.telemetry.errors[POISON] = KeyError("a defect")
    world.passes(MAX_TRIES - 1)
    world.telemetry.errors.clear()
    world.passes()
    assert world.measured_again(POISON)
    assert (world.position, world.parked()) == (3, [])
    world.corrections.correct(POISON)
    world.telemetry.errors[POISON] = KeyError("another defect")
    world.passes(MAX_TRIES - 1)
    assert world.parked() == [], "tries are counted anew"


def test_further_corrections_wait_until_those_before_them_are_parked(world: World) -> None:
    world.telemetry.errors[POISON] = KeyError("a defect")
    world.passes()
    world.corrections.correct(OTHER, POISON)
    world.passes(MAX_TRIES - 1)
    assert (world.position, len(world.parked())) == (3, 1)
    world.passes(MAX_TRIES)
    assert (world.position, len(world.parked())) == (5, 2)


@pytest.mark.parametrize("error", [TelemetryStoreUnavailable("away"), UnknownTopic("of a newer release")])
def test_an_outage_and_what_a_newer_release_wrote_park_nothing(world: World, error: Exception) -> None:
    world.telemetry.errors[POISON] = error
    for _ in range(2 * MAX_TRIES):
        with pytest.raises(type(error)):
            world.passes()
    assert (world.position, world.parked(), world.open_alerts()) == (0, [], [])


@pytest.mark.parametrize(("late", "is_loaded"), [(timedelta(0), True), (timedelta(seconds=1), False)])
def test_a_dispatch_that_is_final_is_not_even_loaded(world: World, late: timedelta, is_loaded: bool) -> None:
    world.clock.moment = STARTS_AT + REMEASURED_FOR + MARGIN + late
    world.store.errors[dispatch_id(DR_EVENT_ID, POISON)] = KeyError("loaded")
    world.passes(MAX_TRIES)
    assert bool(world.parked()) is is_loaded
    assert world.position == 3
