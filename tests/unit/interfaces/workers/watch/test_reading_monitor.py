"""Missing readings are alerted while a facility serves soon, or now, and only then."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from application.commands.facility import OptOutFacility
from application.forecast.degraded_alert import AHEAD
from application.telemetry.missing_readings_alert import (
    MISSING,
    MissingReadings,
)
from domain.telemetry.meter_reading import MeterReading
from interfaces.workers.watch.reading_monitor import ReadingMonitor
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels, FakeView
from tests.fakes.telemetry.listed_meters import FakeListedMeters
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, STARTS_AT, UTILITY_EVENT

BOTH = ("fac-001", "fac-002")
METERS = {"fac-001": {"main", "sub"}, "fac-002": {"main"}}
NEAR = STARTS_AT - AHEAD


@dataclass
class Watched:
    """A DR event with both facilities, whose meters the test feeds."""

    there: InProcessSystem
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    store: FakeTelemetryStore = field(default_factory=FakeTelemetryStore)

    def feed(self, facility_id: str, meter_id: str, until: datetime, *, every_s: int = 60) -> None:
        """An hour and a half of readings until then."""
        self.store.write_readings(
            0,
            1,
            [
                MeterReading(facility_id, meter_id, until - timedelta(seconds=s), 10.0, None)
                for s in range(0, 5_400, every_s)
            ],
        )

    def feed_all(self, until: datetime) -> None:
        for facility_id, meters in METERS.items():
            for meter_id in meters:
                self.feed(facility_id, meter_id, until)

    def check(self, at: datetime | None = None) -> dict[str, str]:
        """Facility -> detail of its open alert after a check; each check uses a new monitor."""
        clock = self.there.scenario.clock
        if at is not None:
            self.there.scenario.at(at)
        read_models = FakeReadModels(self.there.scenario.store.read_after(0, 10_000))
        ReadingMonitor(
            dr_events=read_models.dr_events,
            facilities=read_models.facilities,
            missing=MissingReadings(self.store, FakeListedMeters(METERS), clock),
            alerts=self.alerts,
            clock=clock,
        ).check()
        return {one.subject: one.detail for one in self.alerts.listed() if one.name == MISSING}


@pytest.fixture
def watched() -> Watched:
    there = InProcessSystem.accepted(*BOTH).until("scheduled")
    there.scenario.clock.speed = 1.0
    return Watched(there)


def test_a_silent_meter_is_alerted_from_four_hours_before_the_start(watched: Watched) -> None:
    watched.feed_all(NEAR)
    watched.feed("fac-002", "main", NEAR + timedelta(minutes=6))
    watched.feed("fac-001", "main", NEAR + timedelta(minutes=6))
    assert watched.check(NEAR - timedelta(seconds=1)) == {}
    assert watched.check(NEAR) == {}
    assert watched.check(NEAR + timedelta(minutes=6)) == {
        "fac-001": f"1 of 2 meters are silent: sub; {UTILITY_EVENT} asks for it from {STARTS_AT.isoformat()}"
    }
    watched.feed("fac-001", "sub", NEAR + timedelta(minutes=6))
    assert watched.check(NEAR + timedelta(minutes=7)) == {}


def test_a_listed_meter_that_never_sent_counts_as_silent(watched: Watched) -> None:
    watched.feed("fac-001", "main", NEAR)
    found = watched.check(NEAR)
    assert found["fac-001"].startswith("1 of 2 meters are silent: sub; ")
    assert found["fac-002"].startswith("1 of 1 meters are silent: main; ")


def test_silent_meters_of_every_facility_are_named_also_far_from_a_dr_event(watched: Watched) -> None:
    watched.there.scenario.at(NEAR)
    watched.feed("fac-001", "main", NEAR)
    watched.feed("fac-001", "sub", NEAR - timedelta(minutes=6))
    watched.feed("fac-003", "other", NEAR - timedelta(hours=1))
    missing = MissingReadings(watched.store, FakeListedMeters(METERS), watched.there.scenario.clock)

    silent = missing.silent_of({**METERS, "fac-003": set(), "fac-004": set()})

    assert silent == {"fac-001": ["sub"], "fac-002": ["main"], "fac-003": ["other"]}


def test_a_meter_that_loses_readings_is_alerted_by_the_coverage_of_the_hour(watched: Watched) -> None:
    watched.feed_all(NEAR)
    gap = {
        key for key in watched.store.readings if timedelta(minutes=20) < NEAR - key[0] < timedelta(minutes=60)
    }
    for key in gap:
        del watched.store.readings[key]
    assert watched.check(NEAR)["fac-002"].startswith("of the last hour's readings ")


def test_a_facility_that_runs_is_watched_until_its_dr_event_is_over(watched: Watched) -> None:
    watched.there.until("active")
    assert watched.check().keys() == set(BOTH)
    watched.there.until("completed")
    assert watched.check() == {}


def test_a_facility_that_takes_no_part_is_not_alerted(watched: Watched) -> None:
    assert watched.check(NEAR).keys() == set(BOTH)
    watched.there.do(OptOutFacility(facility_id="fac-001", dr_event_id=DR_EVENT_ID, reason="a wedding"))
    assert watched.check().keys() == {"fac-002"}


def test_repeated_checks_raise_the_alert_once(watched: Watched) -> None:
    for minute in range(5):
        watched.check(NEAR + timedelta(minutes=minute))
    alerts = [one for one in watched.alerts.listed(include_cleared=True) if one.subject == "fac-001"]
    assert [one.raised_at == one.last_seen_at == NEAR for one in alerts] == [True]


def test_all_facilities_are_looked_up_together(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def single(view: object, key: str, **of: object) -> None:
        raise AssertionError(f"{key} is looked up by itself")

    monkeypatch.setattr(FakeView, "get", single)
    assert watched.check(NEAR).keys() == set(BOTH)


def test_far_from_any_dr_event_nothing_is_alerted() -> None:
    assert Watched(InProcessSystem.registered(*BOTH)).check(NEAR) == {}
