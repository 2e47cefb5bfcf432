"""The agreed limits of a facility count DR events that curtailed its building, or may have."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from application.commands.dr_event import CancelDREvent
from application.commands.facility import OptOutFacility, RegisterFacility
from application.commands.program import AgreeProgram
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, facility_entry, judge, program_entry

BOTH = ("fac-001", "fac-002")
CANCEL = CancelDREvent(dr_event_id=DR_EVENT_ID, reason="the heat wave is over")


def counted(there: InProcessSystem) -> list[str]:
    """The facilities against whose limits the DR event counts."""
    states = [there.scenario.store.load(Facility, facility_stream_id(i)).state for i in BOTH]
    assert all(state.reservations == {} for state in states)
    return [state.facility_id for state in states if str(DR_EVENT_ID) in state.served]


def world(policy: str = "continue") -> InProcessSystem:
    return InProcessSystem.accepted(*BOTH, terms={"shortfall_policy": policy})


def aborted_before_the_start() -> InProcessSystem:
    there = world("abort").until("scheduled")
    there.control.fail_next("fac-002", "refuse")
    return there.until("completed")


def aborted_while_committing() -> InProcessSystem:
    there = world("abort").until("preparing")
    there.control.fail_next("fac-002", "refuse")
    return there.until("completed")


def blocked_and_never_overridden() -> InProcessSystem:
    return InProcessSystem.accepted(*BOTH, degraded=("fac-002",)).until("completed")


def refused_its_prepare() -> InProcessSystem:
    there = world().until("scheduled")
    there.control.fail_next("fac-002", "refuse")
    return there.until("completed")


def opted_out_before_the_start() -> InProcessSystem:
    there = world().until("preparing")
    there.do(OptOutFacility(facility_id="fac-002", reason="guests"))
    return there.until("completed")


def opted_out_while_curtailed() -> InProcessSystem:
    there = world().until("active")
    there.do(OptOutFacility(facility_id="fac-002", reason="guests"))
    return there.until("completed")


def cancelled_before_the_start() -> InProcessSystem:
    return world().until("preparing").do(CANCEL)


def cancelled_while_active() -> InProcessSystem:
    return world().until("active").do(CANCEL)


def served_to_the_end() -> InProcessSystem:
    return world().until("completed")


@pytest.mark.parametrize(
    ("course", "counts"),
    [
        (served_to_the_end, ["fac-001", "fac-002"]),
        (cancelled_while_active, ["fac-001", "fac-002"]),
        (opted_out_while_curtailed, ["fac-001", "fac-002"]),
        (aborted_while_committing, ["fac-001"]),
        (blocked_and_never_overridden, ["fac-001"]),
        (refused_its_prepare, ["fac-001"]),
        (opted_out_before_the_start, ["fac-001"]),
        (aborted_before_the_start, []),
        (cancelled_before_the_start, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_only_a_curtailment_counts_against_the_limits(
    course: Callable[[], InProcessSystem], counts: list[str]
) -> None:
    assert counted(course()) == counts


def test_a_batch_that_was_aborted_before_the_start_uses_up_no_limit() -> None:
    there = aborted_before_the_start()
    there.scenario.after(
        AgreeProgram(entry=program_entry(notification_lead_s=0)),
        *(RegisterFacility(entry=facility_entry(i, dr_events_per_day=1)) for i in BOTH),
    )
    again = judge("UTIL-NEXT", target_kw=60.0, starts_at=ENDS_AT, ends_at=ENDS_AT + timedelta(hours=1))
    assert there.scenario.when(again).reply.status == "accepted"
