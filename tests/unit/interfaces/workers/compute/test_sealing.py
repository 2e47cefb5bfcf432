"""Readings are sealed when their local day is final, again when they are corrected, and at an import of history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from application.ports.clock import ClockSkewed
from application.ports.telemetry.rollups import CorrectedInterval
from application.ports.telemetry.store import ImportedIntervals, TelemetryStoreUnavailable
from application.telemetry.sealing.day_sealer import DaySealer
from application.telemetry.sealing.history_sealer import HistorySealer, ImportedSpan
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Location, Locations
from domain.identifiers import correction_cause_id
from domain.telemetry.day_digest import FacilityValues, day_digest
from domain.telemetry.sealed_readings import DaySeals, HistorySeals
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import TimeWindow, local_day
from interfaces.workers.compute.failing_subjects import FailingSubjects
from interfaces.workers.compute.sealing import (
    ALERT,
    CORRECTION_READER,
    RETRY_S,
    RIPE_AFTER,
    SealedSite,
    Sealing,
)
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.sample_values import provenance

NEW_YORK, TOKYO = "America/New_York", "Asia/Tokyo"
DAY = date(2026, 7, 13)
END_IN_NEW_YORK = datetime(2026, 7, 14, 4, 0, tzinfo=UTC)
FINAL_IN_NEW_YORK = END_IN_NEW_YORK + timedelta(hours=2)


def at(tz: str) -> Locations:
    return Locations(Location(tz=tz, weather_cell="default"))


class Telemetry(FakeTelemetryStore):
    """Fails for the facilities in `errors`."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, Exception] = {}

    def interval_series_of(
        self, facility_ids: Sequence[str], window: TimeWindow, step_s: int = 900
    ) -> IntervalBlock:
        for facility_id in facility_ids:
            if facility_id in self.errors:
                raise self.errors[facility_id]
        return super().interval_series_of(facility_ids, window, step_s)


class Corrections:
    def __init__(self) -> None:
        self.all: list[CorrectedInterval] = []

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        return [one for one in self.all if one.correction_id > correction_id][:limit]


class World:
    """Facilities whose quarter-hours are stored; nothing of them is sealed yet."""

    def __init__(self, **zones: str) -> None:
        self.zones = {name.replace("_", "-"): tz for name, tz in zones.items()}
        self.moved: dict[str, Locations] = {}
        self.deactivated: set[str] = set()
        self.store, self.telemetry, self.corrections = FakeEventStore(), Telemetry(), Corrections()
        self.clock, self.alerts = FakeClock(FINAL_IN_NEW_YORK), FakeAlertRegistry()
        self.positions, self.now_s = FakeReaderPositions(), 0.0
        self.true_time: datetime | None = None
        """Of the database, where it is not that of the clock."""
        self.sealing = self.restarted()

    def restarted(self) -> Sealing:
        return Sealing(
            sites=self._sites,
            corrections=self.corrections,  # type: ignore[arg-type]
            positions=self.positions,
            store=self.store,
            sealer=DaySealer(self.store, self.telemetry, self.clock),
            clock=self.clock,
            failing=FailingSubjects(
                self.alerts, self.clock, alert=ALERT, retry_s=RETRY_S, monotonic=lambda: self.now_s
            ),
            confirm_clock=self._confirm_clock,
        )

    def _confirm_clock(self) -> None:
        if self.true_time is not None:
            raise ClockSkewed("the clock is wrong")

    def _sites(self) -> list[SealedSite]:
        return [
            SealedSite(one, self.moved.get(one) or at(tz), is_active=one not in self.deactivated)
            for one, tz in self.zones.items()
        ]

    def meter(self, facility_id: str, day: date, kw: float, *, quarters: int | None = None) -> None:
        window = local_day(day, ZoneInfo(self.zones[facility_id]))
        count = quarters or int(window.duration_s // 900)
        starts_s = int(window.starts_at.timestamp()) + 900 * np.arange(count, dtype=np.int64)
        self.telemetry.import_intervals(
            ImportedIntervals(
                facility_ids=(facility_id,),
                facility_index=np.zeros(count, dtype=np.int64),
                starts_at_s=starts_s,
                step_s=np.full(count, 900, dtype=np.int64),
                mean_kw=np.full(count, kw),
                temp_c=np.full(count, np.nan),
            )
        )

    def correct(self, facility_id: str, day: date, kw: float) -> None:
        self.meter(facility_id, day, kw, quarters=1)
        starts_at = local_day(day, ZoneInfo(self.zones[facility_id])).starts_at
        self.corrections.all.append(
            CorrectedInterval(
                correction_id=len(self.corrections.all) + 1,
                facility_id=facility_id,
                starts_at=starts_at,
                old_mean_kw=None,
                new_mean_kw=kw,
                old_kwh=None,
                new_kwh=None,
                corrected_at=self.clock.now() - RIPE_AFTER,
            )
        )

    def seals(self) -> list[DaySeals.Sealed]:
        return [one for one in self.store.domain_events if isinstance(one, DaySeals.Sealed)]

    def sealed(self) -> list[tuple[str, date, int]]:
        return [(one.facility_id, one.day, one.revision) for one in self.seals()]

    def values(self, facility_id: str, day: date) -> FacilityValues:
        window = local_day(day, ZoneInfo(self.zones[facility_id]))
        return FacilityValues.of(self.telemetry.interval_series_of([facility_id], window), facility_id)


def test_a_local_day_is_sealed_two_hours_after_its_end_with_the_digest_of_its_values() -> None:
    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", DAY, 800.0)
    world.clock.moment = FINAL_IN_NEW_YORK - timedelta(minutes=1)
    assert world.sealing.pass_once() == 0
    world.clock.moment = FINAL_IN_NEW_YORK
    assert world.sealing.pass_once() == 1
    (seal,) = world.seals()
    assert (seal.facility_id, seal.day, seal.tz, seal.revision) == ("fac-001", DAY, NEW_YORK, 1)
    assert seal.digest == day_digest(world.values("fac-001", DAY))
    assert (seal.digest.quarters, seal.digest.known) == (96, 96)


def test_each_time_zone_has_its_own_day() -> None:
    world = World(fac_001=NEW_YORK, fac_002=TOKYO)
    for facility_id in world.zones:
        world.meter(facility_id, DAY, 800.0)
    world.clock.moment = datetime(2026, 7, 13, 17, 0, tzinfo=UTC)  # 2 h after Tokyo's midnight
    assert world.sealing.pass_once() == 1
    world.clock.moment = FINAL_IN_NEW_YORK
    assert world.sealing.pass_once() == 1
    assert world.sealed() == [("fac-002", DAY, 1), ("fac-001", DAY, 1)]


def test_the_days_of_a_facility_are_those_of_the_time_zone_in_force() -> None:
    world = World(fac_001=NEW_YORK)
    world.sealing.pass_once()
    moved = Location(tz=TOKYO, weather_cell="default", from_day=DAY + timedelta(days=2))
    world.moved["fac-001"] = at(NEW_YORK).with_agreed(moved, FINAL_IN_NEW_YORK)
    for n in (1, 2, 3):
        world.meter("fac-001", DAY + timedelta(days=n), 800.0)
    world.clock.advance(days=3)
    world.sealing.pass_once()
    assert [(one.day, one.tz) for one in world.seals()] == [
        (DAY + timedelta(days=1), NEW_YORK),
        (DAY + timedelta(days=2), TOKYO),
        (DAY + timedelta(days=3), TOKYO),
    ]


@pytest.mark.parametrize(("day", "quarters"), [(date(2026, 3, 8), 92), (date(2026, 11, 1), 100)])
def test_days_of_a_clock_change_have_23_or_25_hours(day: date, quarters: int) -> None:
    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", day, 800.0)
    world.clock.moment = local_day(day, ZoneInfo(NEW_YORK)).ends_at + timedelta(hours=2)
    world.sealing.pass_once()
    assert [one.digest.quarters for one in world.seals()] == [quarters]


def test_a_day_without_readings_is_not_sealed() -> None:
    world = World(fac_001=NEW_YORK, fac_002=NEW_YORK)
    world.meter("fac-002", DAY, 800.0)
    world.sealing.pass_once()
    assert world.sealed() == [("fac-002", DAY, 1)]


def test_a_pass_that_is_repeated_or_restarted_seals_nothing_twice() -> None:
    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", DAY, 800.0)
    world.sealing.pass_once()
    assert world.sealing.pass_once() == 0
    forgotten = FakeReaderPositions()
    world.positions = forgotten
    assert world.restarted().pass_once() == 0


def test_days_that_became_final_while_no_worker_ran_are_sealed_afterwards() -> None:
    world = World(fac_001=NEW_YORK)
    world.sealing.pass_once()
    for n in (1, 2, 3):
        world.meter("fac-001", DAY + timedelta(days=n), 800.0 + n)
    world.clock.advance(days=3)
    assert world.restarted().pass_once() == 3
    assert [day for _, day, _ in world.sealed()] == [DAY + timedelta(days=n) for n in (1, 2, 3)]


def test_a_clock_that_was_ahead_leaves_no_day_without_a_seal_and_none_with_that_of_its_first_hours() -> None:
    world = World(fac_001=NEW_YORK)
    world.sealing.pass_once()
    days = [DAY + timedelta(days=n) for n in (1, 2, 3)]
    world.meter("fac-001", days[0], 800.0, quarters=40)
    world.clock.advance(days=60)
    assert world.sealing.pass_once() == 1  # too early, of ten hours
    world.clock.moment = FINAL_IN_NEW_YORK + timedelta(hours=10)
    assert world.sealing.pass_once() == 0
    for number, day in enumerate(days):
        world.meter("fac-001", day, 800.0)
        world.clock.moment = FINAL_IN_NEW_YORK + timedelta(days=number + 1)
        assert world.sealing.pass_once() == 1
        assert world.sealing.pass_once() == 0
        world.sealing = world.restarted()
    assert world.sealed() == [
        ("fac-001", days[0], 1),
        ("fac-001", days[0], 2),
        ("fac-001", days[1], 1),
        ("fac-001", days[2], 1),
    ]
    assert [one.digest.known for one in world.seals()] == [40, 96, 96, 96]


def test_nothing_is_sealed_while_the_clock_is_wrong() -> None:
    class Skewed(FakeClock):
        def now(self) -> datetime:
            raise ClockSkewed("60 days ahead")

    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", DAY, 800.0)
    sealing = world.restarted()
    sealing.clock = Skewed(FINAL_IN_NEW_YORK)
    with pytest.raises(ClockSkewed):
        sealing.pass_once()
    assert world.seals() == []


def test_a_correction_seals_its_day_again_with_its_cause_and_other_values() -> None:
    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", DAY, 800.0)
    world.sealing.pass_once()
    world.clock.advance(hours=5)
    world.correct("fac-001", DAY, 640.0)
    assert world.sealing.pass_once() == 1
    first, again = world.seals()
    assert (again.revision, again.causation_id) == (2, correction_cause_id(1))
    assert again.digest.readings != first.digest.readings
    assert world.positions.position(CORRECTION_READER) == 1
    world.correct("fac-001", DAY, 640.0)
    assert world.sealing.pass_once() == 0  # the values are those that are sealed


def test_of_a_deactivated_facility_corrections_are_sealed_and_further_days_are_not() -> None:
    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", DAY, 800.0)
    world.sealing.pass_once()
    world.deactivated.add("fac-001")
    world.clock.advance(days=1)
    world.meter("fac-001", DAY + timedelta(days=1), 800.0)
    assert world.sealing.pass_once() == 0
    world.correct("fac-001", DAY, 640.0)
    assert world.sealing.pass_once() == 1
    assert world.sealed() == [("fac-001", DAY, 1), ("fac-001", DAY, 2)]


def test_readings_that_arrive_after_the_day_was_final_are_sealed_by_their_correction() -> None:
    world = World(fac_001=NEW_YORK)
    world.sealing.pass_once()
    world.correct("fac-001", DAY, 640.0)
    world.sealing.pass_once()
    assert world.sealed() == [("fac-001", DAY, 1)]


def test_a_correction_of_a_day_that_is_not_final_waits_for_its_end() -> None:
    world = World(fac_001=NEW_YORK)
    world.clock.moment = END_IN_NEW_YORK
    world.correct("fac-001", DAY, 640.0)
    assert world.sealing.pass_once() == 0
    world.clock.moment = FINAL_IN_NEW_YORK
    assert world.sealing.pass_once() == 1


def test_a_facility_that_fails_has_an_alert_and_delays_no_other() -> None:
    world = World(fac_001=NEW_YORK, fac_002=NEW_YORK)
    for facility_id in world.zones:
        world.meter(facility_id, DAY, 800.0)
    world.telemetry.errors["fac-001"] = ValueError("a value that cannot be read")
    world.sealing.pass_once()
    assert world.sealed() == [("fac-002", DAY, 1)]
    assert [(one.name, one.subject) for one in world.alerts.listed()] == [(ALERT, "fac-001/2026-07-13")]

    world.telemetry.errors.clear()
    assert world.sealing.pass_once() == 0  # it is tried again after a pause
    assert world.restarted().pass_once() == 1  # and after a restart, by its alert
    assert world.sealed()[1:] == [("fac-001", DAY, 1)]
    assert world.alerts.listed() == []


def test_an_outage_is_no_failure_of_a_facility() -> None:
    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", DAY, 800.0)
    world.telemetry.available = False
    with pytest.raises(TelemetryStoreUnavailable):
        world.sealing.pass_once()
    world.telemetry.available = True
    assert world.sealing.pass_once() == 1
    assert world.alerts.listed() == []


def test_an_import_of_history_is_sealed_once_for_each_facility_by_its_days() -> None:
    world = World(fac_001=NEW_YORK, fac_002=NEW_YORK)
    days = [DAY + timedelta(days=n) for n in range(3)]
    for facility_id in world.zones:
        for day in (days[0], days[2]):
            world.meter(facility_id, day, 800.0)
    span = {
        "starts_at": local_day(days[0], ZoneInfo(NEW_YORK)).starts_at,
        "ends_at": local_day(days[2], ZoneInfo(NEW_YORK)).ends_at,
        "step_s": 900,
        "rows": 192,
    }
    spans = [ImportedSpan(facility_id, **span) for facility_id in (*world.zones, "nobody")]  # type: ignore[arg-type]
    sealer = HistorySealer(world.store, world.telemetry)
    after = local_day(days[2], ZoneInfo(NEW_YORK)).ends_at + timedelta(hours=2)
    assert sealer.seal(spans, world.zones, provenance(after)) == 2
    assert sealer.seal(spans[:1], world.zones, provenance(after - timedelta(minutes=1))) == 1
    seals: list[Any] = [one for one in world.store.domain_events if isinstance(one, HistorySeals.Sealed)]
    assert [one.facility_id for one in seals] == ["fac-001", "fac-002", "fac-001"]
    expected = day_digest(world.values("fac-001", days[0]))
    assert (seals[0].first_day, seals[0].days[0]) == (days[0], expected)
    assert [day is None for day in seals[0].days] == [False, True, False]
    assert [day is None for day in seals[2].days] == [False, True, True]  # the last one is not over
    assert _kinds(world.store.domain_events).count("HistorySeals.Opened") == 2


def _kinds(recorded: Sequence[DomainEvent]) -> list[str]:
    return [type(one).__qualname__ for one in recorded]


def test_a_day_that_is_over_only_by_a_wrong_clock_is_not_sealed() -> None:
    """Neither while the clock is wrong, nor as what was due by it once it is right."""
    world = World(fac_001=NEW_YORK)
    world.meter("fac-001", DAY, 100.0)
    world.true_time = FINAL_IN_NEW_YORK - timedelta(hours=1)
    with pytest.raises(ClockSkewed):
        world.sealing.pass_once()
    world.clock.moment, world.true_time = world.true_time, None
    assert world.sealing.pass_once() == 0
    world.clock.moment = FINAL_IN_NEW_YORK
    assert world.sealing.pass_once() == 1
