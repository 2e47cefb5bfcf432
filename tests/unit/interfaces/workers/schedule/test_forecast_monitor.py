"""Degraded forecasts are alerted shortly before a DR event, and only then."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from application.commands.dr_event import CancelDREvent
from application.commands.facility import OptOutFacility
from application.forecast.degraded_alert import AHEAD, DEGRADED
from interfaces.workers.schedule.forecast_monitor import ForecastMonitor
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT, UTILITY_EVENT, forecast, judge

BOTH = ("fac-001", "fac-002")
SECOND = timedelta(seconds=1)
FAR = STARTS_AT - AHEAD - timedelta(minutes=15)
"""Before the DR event is near."""


@dataclass
class Watched:
    """A DR event with both facilities, whose forecasts the test issues."""

    there: InProcessSystem
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)

    def issue(self, facility_id: str, at: datetime, *, degraded: bool = False) -> None:
        self.there.scenario.with_forecasts(forecast(facility_id, at=at, degraded=degraded))

    def check(self, at: datetime | None = None) -> list[str]:
        """The facilities with an open alert after a check, at that time or now; each check uses a new monitor."""
        if at is not None:
            self.there.scenario.at(at)
        read_models = FakeReadModels(self.there.scenario.store.read_after(0, 10_000))
        watch = ForecastMonitor(
            dr_events=read_models.dr_events,
            facilities=read_models.facilities,
            book=self.there.scenario.forecasts,
            alerts=self.alerts,
            clock=self.there.scenario.clock,
            locks=FakeLocks(),
        )
        watch.check()
        return sorted(alert.subject for alert in self.alerts.listed() if alert.name == DEGRADED)

    @property
    def details(self) -> list[str]:
        return [alert.detail for alert in self.alerts.listed()]


@pytest.fixture
def watched() -> Watched:
    """Accepted some time ago, not planned yet."""
    there = InProcessSystem.registered(*BOTH)
    there.scenario.forecasts.recorded.clear()
    watched = Watched(there)
    there.scenario.at(FAR)
    for facility_id in BOTH:
        watched.issue(facility_id, FAR)
    there.scenario.after(judge(facility_ids=BOTH, target_kw=100.0))
    return watched


def test_only_from_four_hours_before_the_start_on(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(FAR) == []
    assert watched.check(STARTS_AT - AHEAD - SECOND) == []
    assert watched.check(STARTS_AT - AHEAD) == ["fac-001"]
    assert watched.details == [
        f"degraded_no_weather; {UTILITY_EVENT} asks for it from {STARTS_AT.isoformat()}"
    ]


def test_it_is_raised_once_however_often_is_looked(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    for minute in range(10):
        assert watched.check(STARTS_AT - AHEAD + timedelta(minutes=minute)) == ["fac-001"]
    [alert] = watched.alerts.listed(include_cleared=True)
    assert alert.raised_at == alert.last_seen_at == STARTS_AT - AHEAD


def test_no_forecast_since_two_cycles_and_none_at_all_are_degraded_too(watched: Watched) -> None:
    assert watched.check(FAR + timedelta(minutes=30)) == []
    assert watched.check(FAR + timedelta(minutes=30) + SECOND) == list(BOTH)
    assert watched.details[0].startswith("degraded_stale_data; ")
    assert watched.check(FAR + timedelta(hours=3)) == list(BOTH)
    assert watched.details[0].startswith("no forecast; ")
    assert len(watched.alerts.listed(include_cleared=True)) == 2


def test_a_better_forecast_clears_it_and_a_worse_one_raises_it_again(watched: Watched) -> None:
    near = STARTS_AT - AHEAD
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(near) == ["fac-001"]
    watched.issue("fac-001", near)
    watched.issue("fac-002", near)
    assert watched.check(near + SECOND) == []
    watched.issue("fac-002", near + timedelta(minutes=15), degraded=True)
    assert watched.check(near + timedelta(minutes=15)) == ["fac-002"]


def test_without_a_dr_event_nothing_is_alerted() -> None:
    there = InProcessSystem.registered(*BOTH, degraded=BOTH)
    assert Watched(there).check(STARTS_AT) == []


def test_a_cancelled_dr_event_clears_it(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(STARTS_AT - AHEAD) == ["fac-001"]
    watched.there.scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    assert watched.check() == []


def test_a_facility_that_is_taken_out_is_not_waited_for_any_more(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(STARTS_AT - AHEAD) == ["fac-001"]
    watched.there.do(OptOutFacility(facility_id="fac-001", dr_event_id=DR_EVENT_ID, reason="a wedding"))
    assert watched.check() == []


def test_a_preparation_that_begins_sooner_is_watched_from_then_on() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",), terms={"prepare_lead_s": 6 * 3_600})
    watched = Watched(there)
    there.until("scheduled")
    assert watched.check() == []
    there.scenario.at(STARTS_AT - timedelta(hours=6)).with_forecasts(
        forecast("fac-001", at=STARTS_AT - timedelta(hours=6)),
        forecast("fac-002", at=STARTS_AT - timedelta(hours=6), degraded=True),
    )
    there.until("preparing")
    assert watched.check() == ["fac-002"]
    assert there.scenario.clock.now() < STARTS_AT - AHEAD


def test_it_stays_through_the_window_and_goes_when_the_dr_event_is_over() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",), terms={"forecast_guardrail": "warn"})
    watched = Watched(there)
    there.until("preparing")
    assert watched.check() == ["fac-002"]
    there.until("active")
    assert watched.check() == ["fac-002"]
    there.until("completed")
    assert watched.check() == []
    assert there.scenario.clock.now() >= ENDS_AT


def test_once_it_runs_none_is_raised_any_more() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",), terms={"forecast_guardrail": "warn"})
    there.until("active")
    assert Watched(there).check() == []
