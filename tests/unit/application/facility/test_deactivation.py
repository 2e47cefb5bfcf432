"""A deactivated facility serves no more: its future reservations are released, and it can be put into service again."""

from datetime import timedelta

from application.commands.dispatch import RecordMeasurement, RecordNotMeasurable
from application.commands.dr_event import PlanDREvent
from application.commands.facility import (
    DeactivateFacility,
    OptOutFacility,
    ReactivateFacility,
    RegisterFacility,
    StartMaintenance,
)
from domain.dispatch import MEASURED_WITHIN, Dispatch
from domain.dr_event import DREvent
from domain.errors import NotAllowedNow, ReasonRequired, UnknownFacility
from domain.facility import Facility
from projections.facility import key_of
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario, fact, given
from tests.in_process_system import InProcessSystem
from tests.measured_figures import figures
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    STARTS_AT,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
    provenance,
)

SOLD = DeactivateFacility(facility_id="fac-001", reason="sold")
BACK = ReactivateFacility(facility_id="fac-001", reason="the wrong one")


def measured(facility_id: str) -> RecordMeasurement:
    return RecordMeasurement(dr_event_id=DR_EVENT_ID, facility_id=facility_id, figures=figures(50.0))


def registered() -> Scenario:
    return given().after(RegisterFacility(entry=facility_entry()))


def test_a_facility_is_deactivated_once_and_reactivated_once() -> None:
    story = registered()
    story.when(SOLD).then(fact(Facility.Deactivated, reason="sold"))
    story.when(SOLD).then()
    story.when(StartMaintenance(facility_id="fac-001", reason="boiler")).refused(
        NotAllowedNow, saying="reactivate it first"
    )
    story.when(BACK).then(fact(Facility.Reactivated, reason="the wrong one"))
    story.when(BACK).then()


def test_both_need_a_reason_and_a_facility() -> None:
    for command in (DeactivateFacility, ReactivateFacility):
        registered().when(command(facility_id="fac-001", reason=" ")).refused(ReasonRequired)
        registered().when(command(facility_id="fac-009", reason="sold")).refused(UnknownFacility)


def test_future_reservations_are_released_with_the_reason_and_the_others_take_the_share() -> None:
    there = InProcessSystem.accepted(
        "fac-001", "fac-002", target_kw=80.0, terms={"shortfall_policy": "reallocate"}
    )
    there.until("scheduled")
    outcome = there.scenario.when(SOLD)
    outcome.then(
        fact(Facility.Released, dr_event_id=DR_EVENT_ID, served=False, reason="it was deactivated: sold"),
        fact(Facility.Deactivated),
        fact(Dispatch.LeftEarly, cause="opted_out", reason="the facility was deactivated: sold"),
        fact(Dispatch.Aborted),
    )
    assert outcome.reply.dr_event_ids == (DR_EVENT_ID,)
    there.settle().until("completed")
    assert there.dispatch("fac-002").target_kw == 80.0
    assert {facility_id for facility_id, _ in there.actions()} == {"fac-002"}


def test_a_facility_that_is_deactivated_before_the_plan_is_in_no_plan() -> None:
    story = given().with_forecasts(forecast("fac-001", 400.0), forecast("fac-002", 400.0))
    story.after(*portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")))
    story.after(judge(target_kw=80.0), SOLD)
    outcome = story.when(PlanDREvent(dr_event_id=DR_EVENT_ID))
    outcome.then(fact(DREvent.Scheduled), fact(Dispatch.Planned, facility_id="fac-002"))


def test_while_it_serves_it_is_not_deactivated() -> None:
    there = InProcessSystem.accepted("fac-001", target_kw=50.0).until("active")
    there.scenario.at(STARTS_AT + timedelta(minutes=5)).when(SOLD).refused(
        NotAllowedNow, saying="opt it out now"
    )
    there.until("completed").do(measured("fac-001"))
    there.scenario.when(SOLD).then(fact(Facility.Deactivated))


def test_until_it_is_measured_its_readings_are_needed_and_it_is_not_deactivated() -> None:
    there = InProcessSystem.accepted("fac-001", "fac-002", target_kw=80.0).until("completed")
    for _ in range(2):
        there.scenario.when(SOLD).refused(
            NotAllowedNow,
            saying=f"served DR event {DR_EVENT_ID}; deactivate it when that DR event is measured",
        )
        there.do(measured("fac-002"))
    no_readings = RecordNotMeasurable(
        dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="it was not metered"
    )
    there.do(no_readings).scenario.when(SOLD).then(fact(Facility.Deactivated))


def test_a_facility_that_left_before_it_was_curtailed_need_not_be_measured() -> None:
    there = InProcessSystem.accepted("fac-001", "fac-002", target_kw=80.0).until("preparing")
    there.do(OptOutFacility(facility_id="fac-001", dr_event_id=DR_EVENT_ID, reason="sold"))
    there.until("completed").scenario.when(SOLD).then(fact(Facility.Deactivated))


def test_a_measurement_that_never_comes_does_not_keep_it_in_service() -> None:
    there = InProcessSystem.accepted("fac-001", target_kw=50.0).until("completed")
    there.scenario.at(ENDS_AT + MEASURED_WITHIN - timedelta(seconds=1)).when(SOLD).refused(NotAllowedNow)
    there.scenario.at(ENDS_AT + MEASURED_WITHIN).when(SOLD).then(fact(Facility.Deactivated))


def test_a_building_that_is_not_restored_is_not_deactivated() -> None:
    story = registered()
    facility = story.store.load(Facility, story.store.domain_events[0].originator_id)
    facility.await_restore(provenance(), dr_event_id=DR_EVENT_ID)
    story.store.save([facility])
    story.when(SOLD).refused(NotAllowedNow, saying="not restored yet")


def test_read_models_show_the_status_the_reason_and_the_return() -> None:
    def rows(story: Scenario) -> FakeReadModels:
        models = FakeReadModels()
        models.fold(story.store.read_after(0, 1_000))
        return models

    story = registered().after(SOLD)
    row = rows(story).facilities.get(key_of("fac-001"))
    assert row is not None
    assert (row.status, row.status_reason) == ("deactivated", "sold")
    row = rows(story.after(BACK)).facilities.get(key_of("fac-001"))
    assert row is not None
    assert (row.status, row.status_reason) == ("active", None)
