"""A program with `two_phase: false` commands its buildings at the start, without a preparation before it."""

from datetime import timedelta

from application.commands.dispatch import CommitDispatch
from application.commands.dr_event import ModifyDREvent, StartDREvent
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT, UTILITY, UTILITY_EVENT, notice

BOTH = ("fac-001", "fac-002")
SINGLE_PHASE = {"two_phase": False}


def accepted(**terms: object) -> InProcessSystem:
    return InProcessSystem.accepted(*BOTH, terms=SINGLE_PHASE | terms)


def test_no_building_is_commanded_before_the_start() -> None:
    there = accepted()
    there.settle()
    assert there.dr_event.prepare_at == STARTS_AT
    there.scenario.at(STARTS_AT - timedelta(seconds=1))
    there.settle()
    assert there.journal == []
    there.until("active")
    first = min(command.recorded_at for command in there.recorded(Dispatch.BmsCommandRequested))
    assert first == STARTS_AT


def test_a_program_with_two_phases_prepares_within_its_lead() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    first = min(command.recorded_at for command in there.recorded(Dispatch.BmsCommandRequested))
    assert first == STARTS_AT - timedelta(minutes=10)
    assert {action for _, action in there.actions()} == {"prepare"}


def test_every_building_is_curtailed_at_the_start_and_restored_to_what_it_was() -> None:
    there = accepted().until("active")
    assert {there.dispatch(one).status for one in BOTH} == {"verified_by_bms"}
    assert all(there.dispatch(one).previous for one in BOTH)
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert [action for one, action in there.actions() if one == "fac-001"] == ["prepare", "commit", "restore"]
    assert there.recorded(Dispatch.Failed) == []


def test_a_commit_that_comes_before_the_preparation_prepares() -> None:
    there = accepted().until("scheduled")
    there.scenario.at(STARTS_AT).after(
        StartDREvent(dr_event_id=DR_EVENT_ID),
        CommitDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-001"),
    )
    assert there.dispatch("fac-001").status == "preparing"
    there.settle()
    assert {there.dispatch(one).status for one in BOTH} == {"verified_by_bms"}


def test_with_two_phases_a_facility_that_is_not_prepared_at_the_start_fails() -> None:
    there = InProcessSystem.accepted(*BOTH).until("scheduled")
    there.scenario.at(STARTS_AT).after(
        StartDREvent(dr_event_id=DR_EVENT_ID),
        CommitDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-001"),
    )
    assert there.dispatch("fac-001").failure == "not prepared when the window began"


def test_a_start_that_moves_moves_the_commands_with_it() -> None:
    there = accepted().until("scheduled")
    later = STARTS_AT + timedelta(minutes=30)
    changed = notice(
        modification_number=1, starts_at=later, ends_at=ENDS_AT, target_kw=100.0, facility_ids=BOTH
    )
    there.do(ModifyDREvent(utility_id=UTILITY, utility_event_id=UTILITY_EVENT, notice=changed))
    assert there.dr_event.prepare_at == later
    assert [fact.prepare_at for fact in there.recorded(DREvent.Scheduled)] == [STARTS_AT]
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert min(entry.at for entry in there.journal) >= later
