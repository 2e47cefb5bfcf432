"""An owner opts its facility out and in. What an operator began, only an operator ends."""

from uuid import UUID

from application.commands.facility import OptInFacility, OptOutFacility, RegisterFacility
from domain.errors import NotAllowedNow
from domain.facility import Facility, FacilityState
from domain.identifiers import facility_stream_id
from tests.given_when_then import Scenario, fact, given
from tests.sample_values import DR_EVENT_ID, facility_entry, judge, portfolio_commands


def out(*, by_owner: bool, dr_event_id: UUID | None = None) -> OptOutFacility:
    return OptOutFacility(facility_id="fac-001", dr_event_id=dr_event_id, reason="exams", by_owner=by_owner)


def back(*, by_owner: bool, dr_event_id: UUID | None = None) -> OptInFacility:
    return OptInFacility(facility_id="fac-001", dr_event_id=dr_event_id, reason="over", by_owner=by_owner)


def registered() -> Scenario:
    return given().after(RegisterFacility(entry=facility_entry()))


def reserved() -> Scenario:
    story = given().after(*portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")))
    return story.after(judge(target_kw=80.0))


def state_of(story: Scenario) -> FacilityState:
    return story.store.load(Facility, facility_stream_id("fac-001")).state


def test_an_owner_ends_its_own_opt_out() -> None:
    story = registered()
    story.when(out(by_owner=True)).then(fact(Facility.OptedOut, by_owner=True, reason="exams"))
    story.when(out(by_owner=True)).then()
    assert state_of(story).opted_out_by_owner
    story.when(back(by_owner=True)).then(fact(Facility.OptedIn, by_owner=True))
    assert not state_of(story).opted_out


def test_an_operator_ends_that_of_an_owner_too() -> None:
    story = registered().after(out(by_owner=True))
    story.when(back(by_owner=False)).then(fact(Facility.OptedIn, by_owner=False))
    assert not state_of(story).opted_out_by_owner


def test_an_owner_does_not_end_what_an_operator_began() -> None:
    story = registered().after(out(by_owner=False))
    story.when(out(by_owner=True)).then()
    story.when(back(by_owner=True)).refused(NotAllowedNow, saying="ask the operator")


def test_the_opt_out_of_an_operator_takes_the_place_of_an_owners() -> None:
    story = registered().after(out(by_owner=True))
    story.when(out(by_owner=False)).then(fact(Facility.OptedOut, by_owner=False))
    story.when(back(by_owner=True)).refused(NotAllowedNow, saying="ask the operator")


def test_the_same_holds_for_a_single_dr_event() -> None:
    story = reserved().after(out(by_owner=True, dr_event_id=DR_EVENT_ID))
    story.when(back(by_owner=True, dr_event_id=DR_EVENT_ID)).then(fact(Facility.OptedIn))
    story.after(out(by_owner=False, dr_event_id=DR_EVENT_ID))
    story.when(back(by_owner=True, dr_event_id=DR_EVENT_ID)).refused(NotAllowedNow, saying="ask the operator")


def test_a_general_opt_in_of_an_owner_keeps_the_single_opt_outs_of_an_operator() -> None:
    story = reserved().after(out(by_owner=False, dr_event_id=DR_EVENT_ID))
    story.when(back(by_owner=True)).then()
    story.after(out(by_owner=True), back(by_owner=True))
    assert state_of(story).opted_out_of == {str(DR_EVENT_ID)}
    story.after(back(by_owner=False))
    assert state_of(story).opted_out_of == frozenset()
