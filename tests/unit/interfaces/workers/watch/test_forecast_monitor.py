"""Degraded forecasts are alerted shortly before a DR event, and only then."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from application.commands.dispatch import OverrideForecast
from application.commands.dr_event import CancelDREvent
from application.commands.facility import OptOutFacility
from application.forecast.degraded_alert import AHEAD, DEGRADED
from application.ports.failpoints import Failpoint, no_failpoint
from domain.dispatch import Dispatch
from interfaces.workers.watch import blocked_dispatch_review
from interfaces.workers.watch.blocked_dispatch_review import BlockedDispatchReview
from interfaces.workers.watch.forecast_monitor import ForecastMonitor
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels, FakeView
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT, UTILITY_EVENT, forecast, judge

BOTH = ("fac-001", "fac-002")
CYCLE = timedelta(minutes=15)
SECOND = timedelta(seconds=1)
FAR = STARTS_AT - AHEAD - timedelta(minutes=15)
"""A time before the monitor considers the DR event."""


@dataclass
class Watched:
    """A DR event with both facilities, whose forecasts the test issues."""

    there: InProcessSystem
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    reached: Failpoint = no_failpoint

    def issue(self, facility_id: str, at: datetime, *, degraded: bool = False) -> None:
        self.there.scenario.with_forecasts(forecast(facility_id, at=at, degraded=degraded))

    def check(self, at: datetime | None = None) -> list[str]:
        """The facilities with an open alert after a check, at that time or now; each check uses a new monitor."""
        if at is not None:
            self.there.scenario.at(at)
        read_models = FakeReadModels(self.there.scenario.store.read_after(0, 10_000))
        scenario = self.there.scenario
        review = BlockedDispatchReview(
            read_models.dispatches, scenario.forecasts, scenario.bus, scenario.clock, self.reached
        )
        watch = ForecastMonitor(
            dr_events=read_models.dr_events,
            facilities=read_models.facilities,
            review=review,
            book=scenario.forecasts,
            alerts=self.alerts,
            clock=scenario.clock,
        )
        watch.check()
        return sorted(alert.subject for alert in self.alerts.listed() if alert.name == DEGRADED)

    @property
    def details(self) -> list[str]:
        return [alert.detail for alert in self.alerts.listed()]


@pytest.fixture
def watched() -> Watched:
    """An accepted DR event that is not planned yet."""
    there = InProcessSystem.registered(*BOTH)
    there.scenario.forecasts.recorded.clear()
    watched = Watched(there)
    there.scenario.at(FAR)
    for facility_id in BOTH:
        watched.issue(facility_id, FAR)
    there.scenario.after(judge(facility_ids=BOTH, target_kw=100.0))
    return watched


def test_a_degraded_forecast_is_alerted_from_four_hours_before_the_start(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(FAR) == []
    assert watched.check(STARTS_AT - AHEAD - SECOND) == []
    assert watched.check(STARTS_AT - AHEAD) == ["fac-001"]
    assert watched.details == [
        f"degraded_no_weather; {UTILITY_EVENT} asks for it from {STARTS_AT.isoformat()}"
    ]


def test_repeated_checks_raise_the_alert_once(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    for minute in range(10):
        assert watched.check(STARTS_AT - AHEAD + timedelta(minutes=minute)) == ["fac-001"]
    [alert] = watched.alerts.listed(include_cleared=True)
    assert alert.raised_at == alert.last_seen_at == STARTS_AT - AHEAD


def test_an_outdated_or_missing_forecast_counts_as_degraded(watched: Watched) -> None:
    assert watched.check(FAR + timedelta(minutes=30)) == []
    assert watched.check(FAR + timedelta(minutes=30) + SECOND) == list(BOTH)
    assert watched.details[0].startswith("degraded_stale_data; ")
    assert watched.check(FAR + timedelta(hours=3)) == list(BOTH)
    assert watched.details[0].startswith("no forecast; ")
    assert len(watched.alerts.listed(include_cleared=True)) == 2


def test_a_better_forecast_clears_the_alert_and_a_worse_one_raises_it_again(watched: Watched) -> None:
    near = STARTS_AT - AHEAD
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(near) == ["fac-001"]
    watched.issue("fac-001", near)
    watched.issue("fac-002", near)
    assert watched.check(near + SECOND) == []
    watched.issue("fac-002", near + timedelta(minutes=15), degraded=True)
    assert watched.check(near + timedelta(minutes=15)) == ["fac-002"]


def test_all_facilities_are_looked_up_together(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def single(view: object, key: str, **of: object) -> None:
        raise AssertionError(f"{key} is looked up by itself")

    for facility_id in BOTH:
        watched.issue(facility_id, FAR, degraded=True)
    monkeypatch.setattr(FakeView, "get", single)
    assert watched.check(STARTS_AT - AHEAD) == list(BOTH)


def test_without_a_dr_event_nothing_is_alerted() -> None:
    there = InProcessSystem.registered(*BOTH, degraded=BOTH)
    assert Watched(there).check(STARTS_AT) == []


def test_a_cancelled_dr_event_clears_the_alert(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(STARTS_AT - AHEAD) == ["fac-001"]
    watched.there.scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    assert watched.check() == []


def test_a_facility_that_opts_out_is_no_longer_alerted(watched: Watched) -> None:
    watched.issue("fac-001", FAR, degraded=True)
    assert watched.check(STARTS_AT - AHEAD) == ["fac-001"]
    watched.there.do(OptOutFacility(facility_id="fac-001", dr_event_id=DR_EVENT_ID, reason="a wedding"))
    assert watched.check() == []


def test_an_early_preparation_is_watched_from_its_beginning() -> None:
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


def test_the_alert_stays_open_until_the_dr_event_is_over() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",), terms={"forecast_guardrail": "warn"})
    watched = Watched(there)
    there.until("preparing")
    assert watched.check() == ["fac-002"]
    there.until("active")
    assert watched.check() == ["fac-002"]
    there.until("completed")
    assert watched.check() == []
    assert there.scenario.clock.now() >= ENDS_AT


def test_no_alert_is_raised_for_an_active_dr_event() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",), terms={"forecast_guardrail": "warn"})
    there.until("active")
    assert Watched(there).check() == []


NEAR = STARTS_AT - timedelta(hours=2)


@pytest.fixture
def blocked() -> Watched:
    """A plan that was made two hours before the start on a degraded forecast of fac-002, which is blocked."""
    there = InProcessSystem.registered(*BOTH)
    there.scenario.forecasts.recorded.clear()
    watched = Watched(there)
    there.scenario.at(NEAR)
    watched.issue("fac-001", NEAR)
    watched.issue("fac-002", NEAR, degraded=True)
    there.scenario.after(judge(facility_ids=BOTH, target_kw=100.0))
    there.settle()
    return watched


def test_the_next_cycle_unblocks_a_dispatch_and_ends_its_alert(blocked: Watched) -> None:
    assert blocked.check() == ["fac-002"]
    assert blocked.details == [
        f"degraded_no_weather, its dispatch is blocked; {UTILITY_EVENT} asks for it from {STARTS_AT.isoformat()}"
    ]
    blocked.issue("fac-001", NEAR + CYCLE)
    blocked.issue("fac-002", NEAR + CYCLE)
    assert blocked.check(NEAR + CYCLE) == ["fac-002"], "it is unblocked by this check"
    assert blocked.there.dispatch("fac-002").status == "planned"
    assert blocked.check() == []


def test_an_override_ends_the_alert_though_the_forecast_is_degraded(blocked: Watched) -> None:
    assert blocked.check() == ["fac-002"]
    override = OverrideForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="I looked")
    blocked.there.do(override)
    assert blocked.check() == []


def test_the_end_of_the_dr_event_ends_the_alert_of_a_blocked_dispatch(blocked: Watched) -> None:
    assert blocked.check() == ["fac-002"]
    blocked.there.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    assert blocked.check() == []


def test_a_degraded_forecast_keeps_the_dispatch_blocked_and_is_judged_once(blocked: Watched) -> None:
    seen: list[str] = []
    blocked.reached = lambda name, in_flight: seen.append(name)
    scenario = blocked.there.scenario
    rows = FakeReadModels(scenario.store.read_after(0, 10_000)).dispatches
    review = BlockedDispatchReview(rows, scenario.forecasts, scenario.bus, scenario.clock, blocked.reached)
    for _ in range(3):
        review.propose(review.blocked())
    assert seen == ["watch.before_unblocking", "watch.after_unblocking"]
    blocked.issue("fac-002", NEAR + CYCLE, degraded=True)
    scenario.at(NEAR + CYCLE)
    review.propose(review.blocked())
    assert len(seen) == 4, "each forecast is judged once"
    assert blocked.there.dispatch("fac-002").status == "blocked"


def test_dispatches_that_were_never_judged_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_dispatch_review, "MOST_AT_ONCE", 1)
    there = InProcessSystem.registered(*BOTH)
    there.scenario.forecasts.recorded.clear()
    watched, scenario = Watched(there), there.scenario
    scenario.at(NEAR)
    for facility_id in BOTH:
        watched.issue(facility_id, NEAR, degraded=True)
    scenario.after(judge(facility_ids=BOTH, target_kw=100.0))
    there.settle()
    judged: list[str] = []
    rows = FakeReadModels(scenario.store.read_after(0, 10_000)).dispatches
    review = BlockedDispatchReview(
        rows, scenario.forecasts, scenario.bus, scenario.clock, lambda name, of: judged.append(of.split()[0])
    )
    review.propose(review.blocked())
    scenario.at(NEAR + CYCLE)
    for facility_id in BOTH:
        watched.issue(facility_id, NEAR + CYCLE, degraded=True)
    review.propose(review.blocked())
    assert set(judged) == set(BOTH)


@pytest.mark.parametrize("place", ["watch.before_unblocking", "watch.after_unblocking"])
def test_a_worker_killed_while_it_unblocks_is_followed_by_one_that_unblocks_once(
    blocked: Watched, place: str
) -> None:
    class Killed(BaseException):
        pass

    def dies(name: str, in_flight: str) -> None:
        if name == place:
            raise Killed

    blocked.issue("fac-002", NEAR + CYCLE)
    blocked.reached = dies
    with pytest.raises(Killed):
        blocked.check(NEAR + CYCLE)
    blocked.reached = no_failpoint
    blocked.check()
    assert len(blocked.there.recorded(Dispatch.Unblocked)) == 1
