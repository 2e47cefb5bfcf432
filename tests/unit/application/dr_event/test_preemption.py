"""Preemption: a stronger DR event takes facilities from a weaker one, in the transaction of its acceptance."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.commands.dr_event import JudgeNotification, ModifyDREvent, StartDREvent
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import FacilityEntry
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent
from domain.facility import Facility
from domain.identifiers import dispatch_id, dr_event_id, facility_stream_id
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import (
    DR_EVENT_ID,
    PROGRAM,
    STARTS_AT,
    UTILITY,
    facility_entry,
    judge,
    notice,
    program_entry,
    zone_entry,
)

BOTH = ("fac-001", "fac-002")
OTHER = dr_event_id(UTILITY, "UTIL-OTHER")


def stronger(utility_event_id: str = "UTIL-OTHER", **changes: Any) -> JudgeNotification:
    values = {"priority": 0, "facility_ids": ("fac-002",), "target_kw": 60.0} | changes
    return judge(utility_event_id, **values)


def reserved_for(there: InProcessSystem, facility_id: str) -> list[str]:
    return list(there.scenario.store.load(Facility, facility_stream_id(facility_id)).state.reservations)


def dispatch_of(there: InProcessSystem, dr_event: UUID, facility_id: str) -> DispatchState:
    return there.scenario.store.load(Dispatch, dispatch_id(dr_event, facility_id)).state


def test_a_lower_priority_number_takes_the_facility_in_one_transaction() -> None:
    there = InProcessSystem.accepted(*BOTH).settle()
    there.scenario.when(stronger()).then(
        fact(DREvent.Preempted, facility_ids=("fac-002",), by_dr_event_id=OTHER),
        fact(DREvent.Opened),
        fact(DREvent.Accepted),
        fact(Facility.Released, dr_event_id=DR_EVENT_ID, served=False),
        fact(Facility.Reserved, dr_event_id=OTHER),
    )
    assert reserved_for(there, "fac-002") == [str(OTHER)]


@pytest.mark.parametrize("priority", [1, 2])
def test_a_dr_event_of_equal_priority_does_not_preempt(priority: int) -> None:
    there = InProcessSystem.accepted(*BOTH).settle()
    outcome = there.scenario.when(stronger(priority=priority))
    outcome.then(fact(DREvent.Opened), fact(DREvent.Rejected))
    assert [(r.code, r.facility_id) for r in outcome.reply.reasons] == [("overlap", "fac-002")]


def test_a_partly_preempted_dr_event_continues_with_its_other_facilities() -> None:
    there = InProcessSystem.accepted(*BOTH, target_kw=100.0).settle()
    there.do(stronger())
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").left) == ("aborted", "preempted")
    there.until("completed")
    assert there.dr_event.outcome == "partial"
    batch = there.dr_event.batch
    assert batch is not None
    assert (batch.asked, batch.served, batch.failed) == (2, 1, 1)
    assert "preempted" in [work.kind for work in there.callbacks]


def test_a_facility_preempted_before_planning_is_not_planned() -> None:
    there = InProcessSystem.accepted(*BOTH)
    there.scenario.after(stronger())
    there.settle()
    assert [target.facility_id for target in there.dr_event.targets] == ["fac-001"]


def test_a_program_that_reallocates_gives_the_preempted_share_to_the_others() -> None:
    there = InProcessSystem.accepted(
        *BOTH, target_kw=100.0, terms={"shortfall_policy": "reallocate"}
    ).settle()
    assert there.dispatch().target_kw == 50.0
    there.do(stronger())
    assert (there.dispatch().target_kw, there.dr_event.plan_revision) == (100.0, 2)


def test_a_curtailed_building_is_restored_before_the_stronger_dr_event_prepares_it() -> None:
    there = InProcessSystem.accepted(*BOTH, terms={"notification_lead_s": 0}).until("active")
    there.do(stronger(starts_at=there.scenario.clock.now()))
    assert there.dispatch("fac-002").status == "restored"
    there.scenario.after(*start_of(OTHER))
    there.settle()
    assert [a for i, a in there.actions() if i == "fac-002"] == [
        *("prepare", "commit", "restore"),
        *("prepare", "commit"),
    ]
    assert dispatch_of(there, OTHER, "fac-002").was_committed


def start_of(dr_event: UUID) -> list[msgspec.Struct]:
    return [StartDREvent(dr_event_id=dr_event)]


@pytest.mark.parametrize(("rank", "taken"), [(0, True), (1, False), (2, False)])
def test_the_rank_set_by_the_operator_decides_between_utilities(rank: int, taken: bool) -> None:
    there = InProcessSystem.accepted("fac-001", target_kw=50.0).settle()
    entry: FacilityEntry = facility_entry("fac-001", programs=(PROGRAM, "grid-relief"))
    other = program_entry(program_id="grid-relief", utility_id="util-2", rank=rank)
    there.scenario.after(AgreeProgram(entry=other), RegisterFacility(entry=entry))
    asked = notice(program_id="grid-relief", facility_ids=("fac-001",), target_kw=50.0, priority=9)
    outcome = there.scenario.when(
        JudgeNotification(utility_id="util-2", utility_event_id="G-1", notice=asked)
    )
    assert outcome.reply.status == ("accepted" if taken else "rejected")


def active_with_minimum_off(minimum_off_s: int = 1800, *ids: str) -> InProcessSystem:
    zones = (zone_entry("hall", minimum_off_s=minimum_off_s),)
    terms = {"notification_lead_s": 0, "minimum_duration_s": 300}
    return InProcessSystem.accepted(*(ids or BOTH), zones=zones, terms=terms).until("active")


def test_a_building_within_its_minimum_off_time_is_not_preempted() -> None:
    there = active_with_minimum_off()
    there.scenario.at(STARTS_AT + timedelta(minutes=10))
    outcome = there.scenario.when(stronger(starts_at=there.scenario.clock.now()))
    outcome.then(fact(DREvent.Opened), fact(DREvent.Rejected))
    [reason] = outcome.reply.reasons
    assert (reason.code, reason.facility_id) == ("minimum_off_time", "fac-002")
    assert (STARTS_AT + timedelta(minutes=30)).isoformat() in reason.detail
    assert there.dispatch("fac-002").left is None


def test_a_building_is_preempted_if_its_minimum_off_time_ends_by_the_new_start() -> None:
    there = active_with_minimum_off()
    there.scenario.at(STARTS_AT + timedelta(minutes=10))
    there.do(stronger(starts_at=STARTS_AT + timedelta(minutes=30)))
    assert reserved_for(there, "fac-002") == [str(OTHER)]
    assert there.dispatch("fac-002").status == "restoring"
    there.restore_next()
    assert there.scenario.clock.now() == STARTS_AT + timedelta(minutes=30)
    assert there.dispatch("fac-002").status == "restored"


def test_a_commit_in_progress_counts_as_curtailed() -> None:
    zones = (zone_entry("hall", minimum_off_s=1800),)
    terms = {"notification_lead_s": 0, "minimum_duration_s": 300}
    there = InProcessSystem.accepted(*BOTH, zones=zones, terms=terms).until("preparing")
    there.scenario.at(STARTS_AT).after(*start_of(DR_EVENT_ID))
    starts_at = STARTS_AT + timedelta(minutes=20)
    for status in ("prepared", "committing"):
        assert there.dispatch("fac-002").status == status
        outcome = there.scenario.when(stronger(f"UTIL-{status}", starts_at=starts_at))
        assert [reason.code for reason in outcome.reply.reasons] == ["minimum_off_time"]
        there.relay_all()


def test_a_modification_does_not_preempt_a_building_within_its_minimum_off_time() -> None:
    there = active_with_minimum_off(3600, *BOTH, "fac-003")
    soon: dict[str, Any] = {"starts_at": STARTS_AT + timedelta(minutes=30), "target_kw": 60.0}
    there.scenario.at(STARTS_AT + timedelta(minutes=1)).after(
        RegisterFacility(entry=facility_entry("fac-004")), stronger(facility_ids=("fac-004",), **soon)
    )
    asked = notice(modification_number=1, priority=0, facility_ids=("fac-004", "fac-003"), **soon)
    outcome = there.scenario.when(
        ModifyDREvent(utility_id=UTILITY, utility_event_id="UTIL-OTHER", notice=asked)
    )
    assert outcome.reply.status == "refused"
    assert ("minimum_off_time", "fac-003") in [(r.code, r.facility_id) for r in outcome.reply.reasons]


def test_a_preemption_before_the_curtailment_does_not_count_against_the_limits() -> None:
    there = InProcessSystem.accepted(*BOTH).settle()
    there.do(stronger())
    state = there.scenario.store.load(Facility, facility_stream_id("fac-002")).state
    assert set(state.served) == {str(OTHER)}


def test_a_preemption_while_curtailed_counts_against_the_limits() -> None:
    there = active_with_minimum_off(0)
    there.do(stronger(starts_at=STARTS_AT + timedelta(minutes=30)))
    state = there.scenario.store.load(Facility, facility_stream_id("fac-002")).state
    assert set(state.served) == {str(OTHER), str(DR_EVENT_ID)}
