"""The forecast guardrail: a facility with a degraded forecast stays out until an operator overrides it."""

from datetime import timedelta

from application.commands.dispatch import OverrideForecast
from application.commands.dr_event import Judgement, ReplanDREvent
from domain.dispatch import Dispatch
from tests.in_process_system import FORECAST_CYCLES, PREPARE_AT, InProcessSystem
from tests.sample_values import DR_EVENT_ID, NOW, judge
from tests.unit.application.dr_event.test_modification import changed

BOTH = ("fac-001", "fac-002")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def stale_at_the_preparation(**terms: str) -> InProcessSystem:
    """Good forecasts at the planning, and none since for fac-002."""
    there = InProcessSystem.accepted(*BOTH, terms=terms)
    recorded = there.scenario.forecasts.recorded
    kept = [s for s in recorded if s.facility_id == "fac-001" or s.cycle_start == NOW]
    recorded[:] = kept
    return there


def test_a_forecast_that_is_stale_at_the_preparation_blocks_its_dispatch() -> None:
    there = stale_at_the_preparation().until("preparing")
    assert (there.dispatch("fac-001").status, there.dispatch("fac-002").status) == ("prepared", "blocked")
    [blocked] = there.recorded(Dispatch.Blocked)
    assert isinstance(blocked, Dispatch.Blocked)
    assert blocked.data_quality == "degraded_stale_data"


def test_a_dispatch_overridden_by_an_operator_is_not_blocked_again() -> None:
    there = stale_at_the_preparation().until("preparing")
    override = OverrideForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="I looked")
    there.do(override).until("completed")
    assert there.dr_event.outcome == "full"
    [overridden] = there.recorded(Dispatch.ForecastOverridden)
    assert isinstance(overridden, Dispatch.ForecastOverridden)
    assert overridden.reason == "I looked"


def test_a_program_whose_guardrail_only_warns_blocks_nothing() -> None:
    there = stale_at_the_preparation(forecast_guardrail="warn").until("completed")
    assert there.dr_event.outcome == "full"


def test_a_forecast_of_at_most_two_cycles_is_not_stale() -> None:
    there = InProcessSystem.accepted(*BOTH)
    newest = max(cycle for cycle in FORECAST_CYCLES if cycle <= PREPARE_AT)
    assert PREPARE_AT - newest <= timedelta(minutes=30)
    there.until("preparing")
    assert {there.dispatch(i).status for i in BOTH} == {"prepared"}


def test_the_capacity_from_degraded_forecasts_is_reported_separately() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",))
    assert (there.dr_event.capacity_kw, there.dr_event.capacity_degraded_kw) == (200.0, 100.0)
    there.settle()
    assert '"capacity_degraded_kw":100.0' in there.callbacks[0].body


def test_a_facility_without_a_forecast_is_at_risk_where_forecasts_reach_the_window() -> None:
    there = InProcessSystem.registered(*BOTH, degraded=("fac-002",))
    recorded = there.scenario.forecasts.recorded
    recorded[:] = [state for state in recorded if state.facility_id == "fac-002"]
    judgement = there.scenario.when(judge(facility_ids=BOTH, target_kw=100.0), reply_type=Judgement).reply
    assert (judgement.blocked_facilities, judgement.at_risk_facilities) == (1, 1)


def test_a_window_beyond_the_reach_of_forecasts_says_nothing_of_risk() -> None:
    there = InProcessSystem.registered(*BOTH)
    there.scenario.forecasts.recorded.clear()
    far = judge(facility_ids=BOTH, target_kw=100.0, starts_at=NOW + 2 * DAY, ends_at=NOW + 2 * DAY + HOUR)
    judgement = there.scenario.when(far, reply_type=Judgement).reply
    assert (judgement.status, judgement.at_risk_facilities) == ("accepted", 0)


def without_weather(*, accurate: bool, guardrail: str = "accept_no_weather") -> InProcessSystem:
    """fac-002 has forecasts without weather, whose accuracy was measured."""
    there = InProcessSystem.registered(*BOTH, degraded=("fac-002",), terms={"forecast_guardrail": guardrail})
    there.scenario.accurate_without_weather = {"fac-002"} if accurate else set()
    return there


def test_a_forecast_without_weather_that_is_as_accurate_is_accepted_at_each_judgement() -> None:
    there = without_weather(accurate=True)
    request = judge(facility_ids=BOTH, target_kw=150.0)
    judgement = there.scenario.when(request, reply_type=Judgement).reply
    assert (judgement.blocked_facilities, judgement.at_risk_facilities) == (0, 1)
    there.until("scheduled")
    assert there.dispatch("fac-002").status == "planned"
    assert {target.facility_id: target.data_quality for target in there.dr_event.targets} == {
        "fac-001": "full",
        "fac-002": "degraded_no_weather",
    }
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert there.recorded(Dispatch.Blocked) == []


def test_a_forecast_without_weather_that_is_less_accurate_is_blocked() -> None:
    there = without_weather(accurate=False)
    request = judge(facility_ids=BOTH, target_kw=150.0)
    judgement = there.scenario.when(request, reply_type=Judgement).reply
    assert (judgement.blocked_facilities, judgement.at_risk_facilities) == (1, 0)
    assert there.until("scheduled").dispatch("fac-002").status == "blocked"


def test_the_accuracy_matters_to_no_other_guardrail() -> None:
    there = without_weather(accurate=True, guardrail="block")
    there.scenario.when(judge(facility_ids=BOTH, target_kw=150.0))
    assert there.until("scheduled").dispatch("fac-002").status == "blocked"


def test_the_accuracy_of_facilities_that_join_a_plan_is_looked_up_together() -> None:
    joining = ("fac-002", "fac-003")
    there = InProcessSystem.registered(
        "fac-001", *joining, degraded=joining, terms={"forecast_guardrail": "accept_no_weather"}
    )
    there.scenario.accurate_without_weather = {"fac-002"}
    there.scenario.after(judge(facility_ids=("fac-001",), target_kw=50.0))
    there.until("scheduled").scenario.after(changed(facility_ids=("fac-001", *joining), target_kw=250.0))
    there.scenario.accuracy_asked_of.clear()
    there.scenario.after(ReplanDREvent(dr_event_id=DR_EVENT_ID, cause="modified"))
    assert there.scenario.accuracy_asked_of == [joining]
    assert [there.dispatch(i).status for i in joining] == ["planned", "blocked"]


def test_an_accuracy_that_got_worse_since_the_planning_blocks_at_the_preparation() -> None:
    there = without_weather(accurate=True)
    there.scenario.when(judge(facility_ids=BOTH, target_kw=150.0))
    there.until("scheduled").scenario.accurate_without_weather = set()
    assert there.until("preparing").dispatch("fac-002").status == "blocked"


def test_an_accuracy_that_got_better_since_the_planning_unblocks() -> None:
    there = without_weather(accurate=False)
    there.scenario.when(judge(facility_ids=BOTH, target_kw=150.0))
    there.until("scheduled").scenario.accurate_without_weather = {"fac-002"}
    assert there.until("preparing").dispatch("fac-002").status == "prepared"
    assert len(there.recorded(Dispatch.Unblocked)) == 1
