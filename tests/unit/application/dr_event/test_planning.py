"""Planning of a DR event, which needs forecasts."""

from datetime import timedelta

import pytest

from application.commands.dr_event import CancelDREvent, PlanDREvent
from application.commands.facility import OptOutFacility
from application.commands.program import AgreeProgram
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import UnknownDREvent
from domain.identifiers import dispatch_id, dr_event_id
from tests.given_when_then import Scenario, fact, given
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
    program_entry,
    zone_entry,
)

PLAN = PlanDREvent(dr_event_id=DR_EVENT_ID)


@pytest.fixture
def accepted() -> Scenario:
    """A DR event of 150 kW over two facilities of 100 kW each."""
    story = given().after(*portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")))
    return story.after(judge())


def test_the_plan_has_a_target_and_a_dispatch_for_every_facility(accepted: Scenario) -> None:
    accepted.with_forecasts(forecast("fac-001", 400.0), forecast("fac-002", 400.0))
    outcome = accepted.when(PLAN)
    outcome.then(
        fact(
            DREvent.Scheduled,
            plan_revision=1,
            prepare_at=STARTS_AT - timedelta(minutes=10),
            missing_kw=0.0,
        ),
        fact(
            Dispatch.Planned,
            originator_id=dispatch_id(DR_EVENT_ID, "fac-001"),
            facility_id="fac-001",
            dr_event_id=DR_EVENT_ID,
            plan_revision=1,
            expires_at=ENDS_AT + timedelta(minutes=30),
            data_quality="full",
        ),
        fact(Dispatch.Planned, facility_id="fac-002"),
    )
    scheduled = outcome.recorded[0]
    assert isinstance(scheduled, DREvent.Scheduled)
    assert sum(target.target_kw for target in scheduled.targets) == pytest.approx(150.0)
    assert [target.forecast_position for target in scheduled.targets] == [1, 2]


def test_the_magnitude_of_a_zone_command_follows_from_its_share() -> None:
    entry = facility_entry("fac-001", zones=(zone_entry("hall", 100.0, max_magnitude=4.0),))
    story = given().after(*portfolio_commands(entry)).with_forecasts(forecast("fac-001"))
    story.after(judge(facility_ids=("fac-001",), target_kw=50.0))
    planned = story.when(PLAN).recorded[1]
    assert isinstance(planned, Dispatch.Planned)
    [zone] = planned.zones
    assert zone.target_kw == pytest.approx(50.0)
    assert zone.magnitude == pytest.approx(2.0)


def test_planning_is_refused_without_any_forecast(accepted: Scenario) -> None:
    outcome = accepted.when(PLAN)
    outcome.then(fact(DREvent.PlanningRefused, retry_at=NOW + timedelta(seconds=60)))
    refused = outcome.recorded[0]
    assert isinstance(refused, DREvent.PlanningRefused)
    assert [(r.code, r.facility_id) for r in refused.reasons] == [
        ("no_forecast", "fac-001"),
        ("no_forecast", "fac-002"),
    ]
    assert accepted.store.load(DREvent, DR_EVENT_ID).state.status == "accepted"


def test_a_forecast_that_does_not_cover_the_window_is_not_used() -> None:
    story = given().after(*portfolio_commands(facility_entry("fac-001")))
    story.with_forecasts(forecast("fac-001"))  # 36 hours
    starts_at = NOW + timedelta(hours=35, minutes=30)
    story.after(
        judge(
            facility_ids=("fac-001",),
            target_kw=50.0,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=45),
        )
    )
    story.when(PLAN).then(fact(DREvent.PlanningRefused))


def test_planning_succeeds_once_a_forecast_exists_after_a_refusal(accepted: Scenario) -> None:
    accepted.when(PLAN)
    accepted.with_forecasts(forecast("fac-001"), forecast("fac-002"))
    accepted.at(NOW + timedelta(seconds=60))
    accepted.when(PLAN).then(fact(DREvent.Scheduled), fact(Dispatch.Planned), fact(Dispatch.Planned))


def test_refused_planning_is_not_retried_before_its_time(accepted: Scenario) -> None:
    accepted.when(PLAN)
    accepted.at(NOW + timedelta(seconds=59)).when(PLAN).then()
    accepted.after(OptOutFacility(facility_id="fac-001", reason="inventory"))
    accepted.at(NOW + timedelta(seconds=59)).when(PLAN).then()
    accepted.at(NOW + timedelta(seconds=60)).when(PLAN).then(fact(DREvent.PlanningRefused))


def test_planning_refused_again_for_the_same_reasons_records_nothing(accepted: Scenario) -> None:
    accepted.when(PLAN)
    accepted.at(NOW + timedelta(seconds=60)).when(PLAN).then()


def test_a_facility_without_a_forecast_is_excluded_and_the_missing_power_is_stated(
    accepted: Scenario,
) -> None:
    accepted.with_forecasts(forecast("fac-001"))
    accepted.when(PLAN).then(
        fact(DREvent.Scheduled, missing_kw=50.0), fact(Dispatch.Planned, facility_id="fac-001")
    )


def test_a_degraded_forecast_blocks_its_dispatch_under_the_guardrail(accepted: Scenario) -> None:
    accepted.with_forecasts(forecast("fac-001"), forecast("fac-002", degraded=True))
    outcome = accepted.when(PLAN)
    outcome.then(
        fact(DREvent.Scheduled),
        fact(Dispatch.Planned, facility_id="fac-001"),
        fact(Dispatch.Planned, facility_id="fac-002", data_quality="degraded_no_weather"),
        fact(Dispatch.Blocked, facility_id="fac-002", data_quality="degraded_no_weather"),
    )
    scheduled = outcome.recorded[0]
    assert isinstance(scheduled, DREvent.Scheduled)
    assert {t.facility_id: t.blocked for t in scheduled.targets} == {"fac-001": False, "fac-002": True}


def test_a_guardrail_that_only_warns_blocks_nothing() -> None:
    story = given().after(*portfolio_commands(facility_entry("fac-001")))
    story.after(AgreeProgram(entry=program_entry(forecast_guardrail="warn")))
    story.after(judge(facility_ids=("fac-001",), target_kw=80.0))
    story.with_forecasts(forecast("fac-001", degraded=True))
    story.when(PLAN).then(fact(DREvent.Scheduled), fact(Dispatch.Planned))


def test_the_plan_uses_the_terms_at_the_acceptance(accepted: Scenario) -> None:
    accepted.after(AgreeProgram(entry=program_entry(forecast_guardrail="warn", prepare_lead_s=60)))
    accepted.with_forecasts(forecast("fac-001"), forecast("fac-002", degraded=True))
    accepted.when(PLAN).then(
        fact(DREvent.Scheduled, prepare_at=STARTS_AT - timedelta(minutes=10)),
        fact(Dispatch.Planned),
        fact(Dispatch.Planned),
        fact(Dispatch.Blocked),
    )


def test_a_forecast_older_than_two_cycles_counts_as_stale(accepted: Scenario) -> None:
    accepted.with_forecasts(forecast("fac-001"), forecast("fac-002"))
    accepted.at(NOW + timedelta(minutes=31))
    kinds = [type(domain_event) for domain_event in accepted.when(PLAN).recorded]
    assert kinds.count(Dispatch.Blocked) == 2


def test_a_plan_made_within_the_lead_time_prepares_at_once(accepted: Scenario) -> None:
    late = STARTS_AT - timedelta(minutes=4)
    cycle = STARTS_AT - timedelta(minutes=15)
    accepted.with_forecasts(forecast("fac-001", at=cycle), forecast("fac-002", at=cycle)).at(late)
    scheduled = accepted.when(PLAN).recorded[0]
    assert isinstance(scheduled, DREvent.Scheduled)
    assert scheduled.prepare_at == late


def test_repeated_planning_and_planning_after_a_cancellation_change_nothing(accepted: Scenario) -> None:
    accepted.with_forecasts(forecast("fac-001"), forecast("fac-002"))
    accepted.after(PLAN)
    accepted.when(PLAN).then()

    accepted.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    accepted.when(PLAN).then()


def test_planning_an_unknown_dr_event_is_refused_by_name(accepted: Scenario) -> None:
    unknown = PlanDREvent(dr_event_id=dr_event_id("util-1", "never"))
    accepted.when(unknown).refused(UnknownDREvent, saying="dr-events list")
