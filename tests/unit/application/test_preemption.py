"""Pre-emption: a stronger DR event takes facilities from a weaker one, in the transaction of its acceptance."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.commands.dr_event import JudgeNotification, StartDREvent
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.portfolio import FacilityEntry
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent
from domain.facility import Facility
from domain.identifiers import dispatch_id, dr_event_id, facility_stream_id
from tests.given import fact
from tests.in_process import InProcess
from tests.made_up import DR_EVENT_ID, PROGRAM, UTILITY, facility_entry, judge, notice, program_entry

BOTH = ("fac-001", "fac-002")
OTHER = dr_event_id(UTILITY, "UTIL-OTHER")


def stronger(**changes: Any) -> JudgeNotification:
    values = {"priority": 0, "facility_ids": ("fac-002",), "target_kw": 60.0} | changes
    return judge("UTIL-OTHER", **values)


def reserved_for(there: InProcess, facility_id: str) -> list[str]:
    return list(there.story.store.load(Facility, facility_stream_id(facility_id)).state.reservations)


def dispatch_of(there: InProcess, dr_event: UUID, facility_id: str) -> DispatchState:
    return there.story.store.load(Dispatch, dispatch_id(dr_event, facility_id)).state


def test_a_lower_priority_number_takes_the_facility_in_one_transaction() -> None:
    there = InProcess.accepted(*BOTH).settle()
    there.story.when(stronger()).then(
        fact(DREvent.Preempted, facility_ids=("fac-002",), by_dr_event_id=OTHER),
        fact(DREvent.Opened),
        fact(DREvent.Accepted),
        fact(Facility.Released, dr_event_id=DR_EVENT_ID, served=False),
        fact(Facility.Reserved, dr_event_id=OTHER),
    )
    assert reserved_for(there, "fac-002") == [str(OTHER)]


@pytest.mark.parametrize("priority", [1, 2])
def test_of_equals_the_first_accepted_keeps_it(priority: int) -> None:
    there = InProcess.accepted(*BOTH).settle()
    outcome = there.story.when(stronger(priority=priority))
    outcome.then(fact(DREvent.Opened), fact(DREvent.Rejected))
    assert [(r.code, r.facility_id) for r in outcome.reply.reasons] == [("overlap", "fac-002")]


def test_where_the_targets_overlap_in_part_the_rest_goes_on() -> None:
    there = InProcess.accepted(*BOTH, target_kw=100.0).settle()
    there.do(stronger())
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").left) == ("aborted", "preempted")
    there.until("completed")
    assert there.dr_event.outcome == "partial"
    batch = there.dr_event.batch
    assert batch is not None
    assert (batch.asked, batch.served, batch.failed) == (2, 1, 1)
    assert "preempted" in [work.kind for work in there.callbacks]


def test_before_the_weaker_one_is_planned_its_plan_goes_without_the_facility() -> None:
    there = InProcess.accepted(*BOTH)
    there.story.after(stronger())
    there.settle()
    assert [target.facility_id for target in there.dr_event.targets] == ["fac-001"]


def test_its_share_is_given_to_those_that_stay_where_the_program_says_so() -> None:
    there = InProcess.accepted(*BOTH, target_kw=100.0, terms={"shortfall_policy": "reallocate"}).settle()
    assert there.dispatch().target_kw == 50.0
    there.do(stronger())
    assert (there.dispatch().target_kw, there.dr_event.plan_revision) == (100.0, 2)


def test_a_curtailed_building_is_let_go_before_the_stronger_one_reaches_for_it() -> None:
    there = InProcess.accepted(*BOTH, terms={"notification_lead_s": 0}).until("active")
    there.do(stronger(starts_at=there.story.clock.now()))
    assert there.dispatch("fac-002").status == "restored"
    there.story.after(*start_of(OTHER))
    there.settle()
    assert [a for i, a in there.actions() if i == "fac-002"] == [
        *("prepare", "commit", "restore"),
        *("prepare", "commit"),
    ]
    assert dispatch_of(there, OTHER, "fac-002").was_committed


def start_of(dr_event: UUID) -> list[msgspec.Struct]:
    return [StartDREvent(dr_event_id=dr_event)]


@pytest.mark.parametrize(("rank", "taken"), [(0, True), (1, False), (2, False)])
def test_between_utilities_the_operators_rank_decides(rank: int, taken: bool) -> None:
    there = InProcess.accepted("fac-001", target_kw=50.0).settle()
    entry: FacilityEntry = facility_entry("fac-001", programs=(PROGRAM, "grid-relief"))
    other = program_entry(program_id="grid-relief", utility_id="util-2", rank=rank)
    there.story.after(AgreeProgram(entry=other), RegisterFacility(entry=entry))
    asked = notice(program_id="grid-relief", facility_ids=("fac-001",), target_kw=50.0, priority=9)
    outcome = there.story.when(JudgeNotification(utility_id="util-2", utility_event_id="G-1", notice=asked))
    assert outcome.reply.status == ("accepted" if taken else "rejected")
