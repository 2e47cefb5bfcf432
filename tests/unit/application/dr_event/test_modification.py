"""Modifications in every state: refusals, and the effects on the plan and the buildings."""

from datetime import timedelta
from typing import Any

import pytest

from application.commands.dispatch import CommitDispatch
from application.commands.dr_event import CancelDREvent, Modification, ModifyDREvent, StartDREvent
from domain.dispatch import Dispatch
from domain.dr_event import DREvent, DREventStatus
from domain.errors import UnknownDREvent
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.given_when_then import Outcome, fact
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    judge,
    notice,
    zone_entry,
)

HOUR = timedelta(hours=1)
BOTH = ("fac-001", "fac-002")


def changed(**changes: Any) -> ModifyDREvent:
    values = {"modification_number": 1, "facility_ids": BOTH, "target_kw": 100.0} | changes
    return ModifyDREvent(utility_id=UTILITY, utility_event_id=UTILITY_EVENT, notice=notice(**values))


def modify(there: InProcessSystem, **changes: Any) -> Outcome:
    return there.scenario.when(changed(**changes))


def came(outcome: Outcome) -> Modification:
    reply: Modification = outcome.reply
    return reply


def codes(outcome: Outcome) -> list[str]:
    return [reason.code for reason in came(outcome).reasons]


def curtailed_kw(there: InProcessSystem) -> dict[str, float]:
    now = there.scenario.clock.now()
    return {i: round(building.shed_kw(now), 3) for i, building in there.buildings.items()}


def test_a_dr_event_that_was_not_accepted_cannot_be_modified() -> None:
    modify(InProcessSystem.registered(*BOTH)).refused(UnknownDREvent, saying="post it first")


@pytest.mark.parametrize("status", ["accepted", "scheduled", "preparing", "active"])
def test_a_modification_without_a_higher_number_is_stale_or_repeated_and_changes_nothing(
    status: DREventStatus,
) -> None:
    there = InProcessSystem.accepted(*BOTH, modification_number=4)
    there = there if status == "accepted" else there.until(status)
    for number, said in ((3, "stale"), (4, "repeated")):
        outcome = modify(there, modification_number=number, target_kw=10.0)
        outcome.then()
        assert (came(outcome).status, came(outcome).modification_number) == (said, 4)


def test_a_modification_after_the_end_is_answered_with_ended() -> None:
    there = InProcessSystem.accepted(*BOTH).until("completed")
    outcome = modify(there, ends_at=ENDS_AT + HOUR)
    outcome.then()
    assert (came(outcome).status, came(outcome).dr_event_status) == ("ended", "completed")
    cancelled = InProcessSystem.accepted(*BOTH).do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    assert came(modify(cancelled)).status == "ended"


@pytest.mark.parametrize("status", ["accepted", "scheduled", "preparing", "active"])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ends_at": STARTS_AT + timedelta(minutes=5)}, "too_short"),
        ({"ends_at": STARTS_AT + timedelta(hours=9)}, "too_long"),
        ({"target_kw": 900.0}, "insufficient_capacity"),
        ({"facility_ids": ("fac-001", "fac-009")}, "unknown_facility"),
        ({"program_id": "winter-peak"}, "program_changed"),
    ],
)
def test_an_infeasible_modification_is_refused_by_name_and_the_notice_is_unchanged(
    status: DREventStatus, changes: dict[str, Any], code: str
) -> None:
    there = InProcessSystem.accepted(*BOTH)
    there = there if status == "accepted" else there.until(status)
    before = there.dr_event
    outcome = modify(there, **changes)
    outcome.then(fact(DREvent.ModificationRefused))
    assert came(outcome).status == "refused"
    assert code in codes(outcome)
    assert (there.dr_event.notice, there.dr_event.modification_number) == (before.notice, 0)
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_a_start_in_the_past_cannot_be_moved() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    moved = modify(there, starts_at=STARTS_AT + HOUR / 2)
    assert "already_started" in codes(moved)


def test_an_end_in_the_past_is_refused() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.scenario.at(STARTS_AT + HOUR)
    assert codes(modify(there, ends_at=STARTS_AT + HOUR / 2)) == ["past_end"]


def test_the_plan_uses_the_last_modification_before_planning() -> None:
    there = InProcessSystem.accepted(*BOTH)
    modify(there, target_kw=60.0, ends_at=ENDS_AT + HOUR)
    there.settle()
    assert (there.dr_event.status, there.dr_event.plan_revision) == ("scheduled", 1)
    assert there.dispatch().target_kw == 30.0
    assert there.dispatch().ends_at == ENDS_AT + HOUR


def test_a_higher_target_before_the_preparation_revises_the_plan() -> None:
    there = InProcessSystem.accepted(*BOTH).until("scheduled")
    there.do(changed(target_kw=160.0))
    assert (there.dr_event.plan_revision, there.dispatch().target_kw) == (2, 80.0)
    there.until("active")
    assert curtailed_kw(there) == {"fac-001": 80.0, "fac-002": 80.0}


def test_a_move_while_preparing_releases_the_zones_and_prepares_them_later() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.do(changed(starts_at=STARTS_AT + 2 * HOUR, ends_at=ENDS_AT + 2 * HOUR))
    assert there.dr_event.status == "scheduled"
    assert there.dr_event.prepare_at == PREPARE_AT + 2 * HOUR
    assert [action for _, action in there.actions()] == ["prepare"] * 2 + ["abort"] * 2
    assert {there.dispatch(i).status for i in BOTH} == {"planned"}
    held = there.scenario.store.load(Facility, facility_stream_id("fac-001")).state.reservations
    assert held[str(DR_EVENT_ID)].starts_at == STARTS_AT + 2 * HOUR


def test_an_extension_while_preparing_sends_the_later_expiry_to_prepared_zones() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.do(changed(ends_at=ENDS_AT + HOUR))
    assert there.dr_event.status == "preparing"
    assert {there.dispatch(i).status for i in BOTH} == {"prepared"}
    newest = there.dispatch().latest("prepare")["hall"].command
    assert (newest.plan_revision, newest.expires_at) == (2, ENDS_AT + HOUR + timedelta(minutes=30))


def test_a_higher_target_while_active_curtails_further_without_a_gap() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    assert curtailed_kw(there) == {"fac-001": 50.0, "fac-002": 50.0}
    there.do(changed(target_kw=160.0))
    assert curtailed_kw(there) == {"fac-001": 80.0, "fac-002": 80.0}
    assert [a for i, a in there.actions() if i == "fac-001"] == ["prepare", "commit", "commit"]
    assert {there.dispatch(i).status for i in BOTH} <= {"committed", "verified_by_bms"}
    first, second = [r.command for r in there.dispatch().commands.values() if r.command.phase == "commit"]
    assert first.command_id != second.command_id
    assert (first.plan_revision, second.plan_revision) == (1, 2)
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert curtailed_kw(there) == {"fac-001": 0.0, "fac-002": 0.0}


def test_an_extension_renews_the_expiry_before_it_is_reached() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.scenario.at(ENDS_AT - timedelta(minutes=5))
    there.do(changed(ends_at=ENDS_AT + HOUR))
    there.scenario.at(ENDS_AT + timedelta(minutes=31))
    assert curtailed_kw(there) == {"fac-001": 50.0, "fac-002": 50.0}, "the old expiry is past"
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_a_dr_event_shortened_while_active_ends_at_the_new_end() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.do(changed(ends_at=STARTS_AT + HOUR))
    assert {there.dispatch(i).ends_at for i in BOTH} == {STARTS_AT + HOUR}
    assert {there.dispatch(i).expires_at for i in BOTH} == {STARTS_AT + HOUR * 1.5}


def test_a_facility_added_while_active_is_prepared_and_committed_late() -> None:
    there = InProcessSystem.registered(*BOTH)
    there.scenario.after(judge(facility_ids=("fac-001",), target_kw=80.0))
    there.until("active")
    assert curtailed_kw(there) == {"fac-001": 80.0, "fac-002": 0.0}
    there.do(changed(target_kw=160.0))
    assert curtailed_kw(there) == {"fac-001": 80.0, "fac-002": 80.0}
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_a_facility_removed_while_active_is_restored_and_released_at_the_end() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.do(changed(facility_ids=("fac-001",), target_kw=50.0))
    assert curtailed_kw(there) == {"fac-001": 50.0, "fac-002": 0.0}
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").left) == ("restored", "left_out")
    there.until("completed")
    assert there.dr_event.batch is not None
    assert (there.dr_event.batch.asked, there.dr_event.outcome) == (1, "full")
    for facility_id in BOTH:
        assert there.scenario.store.load(Facility, facility_stream_id(facility_id)).state.reservations == {}


def test_a_facility_removed_before_the_start_is_released_at_once() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.do(changed(facility_ids=("fac-001",), target_kw=50.0))
    assert [a for i, a in there.actions() if i == "fac-002"] == ["prepare", "abort"]
    assert there.scenario.store.load(Facility, facility_stream_id("fac-002")).state.reservations == {}


def test_a_facility_removed_at_the_start_is_not_curtailed_while_its_new_plan_is_pending() -> None:
    """Detected by fault storm seed 102907: it was released as if it had never served, and then committed."""
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    modify(there, facility_ids=("fac-001",), target_kw=50.0)
    there.scenario.at(STARTS_AT)
    there.scenario.when(StartDREvent(dr_event_id=DR_EVENT_ID))
    there.scenario.when(CommitDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-002")).then()
    there.until("completed")
    assert [a for i, a in there.actions() if i == "fac-002"] == ["prepare", "abort"]
    assert there.dr_event.outcome == "full"


def test_the_utility_gets_a_callback_for_each_change() -> None:
    there = InProcessSystem.accepted(*BOTH).until("scheduled")
    there.do(changed(target_kw=160.0), changed(modification_number=2, target_kw=120.0))
    assert [work.kind for work in there.callbacks] == ["accepted", "modified", "modified"]


def test_a_facility_is_removed_if_a_zone_cannot_be_curtailed_for_the_extended_window() -> None:
    zones = (zone_entry("hall", longest_curtailment_s=7200), zone_entry("roof"))
    there = InProcessSystem.accepted(*BOTH, zones=zones, target_kw=200.0).until("active")
    there.do(changed(ends_at=ENDS_AT + HOUR, target_kw=100.0))
    assert {there.dispatch(i).left for i in BOTH} == {"left_out"}
    assert curtailed_kw(there) == {"fac-001": 0.0, "fac-002": 0.0}


def test_replaying_a_modified_dr_event_gives_the_same_states() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.do(changed(target_kw=160.0)).until("completed")
    for facility_id in BOTH:
        assert isinstance(there.dispatch(facility_id).committed_at, type(NOW))
    assert len(there.recorded(Dispatch.Amended)) == 2


def test_a_zone_that_leaves_the_plan_while_preparing_is_aborted() -> None:
    zones = (zone_entry("hall", longest_curtailment_s=7200), zone_entry("roof"))
    there = InProcessSystem.accepted(*BOTH, zones=zones, target_kw=300.0).until("preparing")
    there.do(changed(ends_at=ENDS_AT + HOUR, target_kw=150.0))
    done = [(entry.zone_id, entry.action) for entry in there.journal if entry.facility_id == "fac-001"]
    assert done[:2] == [("hall", "prepare"), ("roof", "prepare")]
    assert sorted(done[2:]) == [("hall", "abort"), ("roof", "prepare")]
    assert there.dispatch().status == "prepared"
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert ("hall", "commit") not in [(entry.zone_id, entry.action) for entry in there.journal]
