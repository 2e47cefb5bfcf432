"""A building whose restore fails: no other DR event gets the facility until it is restored."""

from datetime import datetime, timedelta

from application.commands.dispatch import RetryRestore
from application.commands.dr_event import JudgeNotification, PlanDREvent, StartDREvent, StartPreparation
from domain.dispatch import Dispatch
from domain.dr_event import DREvent, DREventState
from domain.facility import Facility, FacilityState
from domain.identifiers import dispatch_id, dr_event_id, facility_stream_id
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, UTILITY, forecast, judge

BOTH = ("fac-001", "fac-002")
NEXT = dr_event_id(UTILITY, "UTIL-NEXT")
FOLLOWS_AT = ENDS_AT + timedelta(hours=2)
RETRY = RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="its restore failed before")


def facility(there: InProcessSystem, facility_id: str = "fac-002") -> FacilityState:
    return there.scenario.store.load(Facility, facility_stream_id(facility_id)).state


def following(there: InProcessSystem) -> DREventState:
    return there.scenario.store.load(DREvent, NEXT).state


def its_dispatch(there: InProcessSystem, facility_id: str = "fac-002") -> Dispatch:
    return there.scenario.store.load(Dispatch, dispatch_id(NEXT, facility_id))


def requested_next(*facility_ids: str) -> JudgeNotification:
    return judge(
        "UTIL-NEXT",
        facility_ids=facility_ids or BOTH,
        target_kw=100.0,
        starts_at=FOLLOWS_AT,
        ends_at=FOLLOWS_AT + timedelta(hours=1),
    )


def left_curtailed(*, accepted_before: bool = False) -> InProcessSystem:
    """The DR event is over, and the restore of fac-002 was refused."""
    there = InProcessSystem.accepted(*BOTH).until("active")
    if accepted_before:
        there.scenario.after(requested_next())
    there.control.fail_next("fac-002", "refuse")
    return there.until("completed")


def with_fresh_forecasts(there: InProcessSystem, at: datetime) -> InProcessSystem:
    there.scenario.with_forecasts(*(forecast(i, at=at) for i in BOTH))
    return there


def test_a_failed_restore_excludes_the_facility_before_the_completion_releases_it() -> None:
    there = left_curtailed()
    assert there.dispatch("fac-002").status == "restore_failed"
    awaited, *_ = there.recorded(Facility.RestoreAwaited)
    completed, *_ = there.recorded(DREvent.Completed)
    order = there.scenario.store.domain_events
    assert order.index(awaited) < order.index(completed)
    assert facility(there).reservations == {}
    assert facility(there).not_restored_from == {str(DR_EVENT_ID)}
    assert facility(there, "fac-001").not_restored_from == frozenset()


def test_the_facility_can_be_reserved_again_only_after_its_restore() -> None:
    there = left_curtailed()
    refused = there.scenario.when(requested_next())
    assert [(r.code, r.facility_id) for r in refused.reply.reasons] == [("not_restored", "fac-002")]
    assert there.scenario.when(requested_next("fac-001")).reply.status == "accepted"

    there = left_curtailed()
    there.do(RETRY)
    assert there.dispatch("fac-002").status == "restored"
    assert facility(there).not_restored_from == frozenset()
    assert there.scenario.when(requested_next()).reply.status == "accepted"


def test_a_facility_reserved_before_the_failure_is_prepared_only_after_its_restore() -> None:
    there = left_curtailed(accepted_before=True)
    # It was planned with both facilities while the first one ran. Its dispatch waits at the preparation.
    with_fresh_forecasts(there, FOLLOWS_AT - timedelta(minutes=30))
    there.scenario.at(FOLLOWS_AT - timedelta(minutes=10))
    there.do(StartPreparation(dr_event_id=NEXT))
    assert its_dispatch(there).state.status == "planned"
    assert its_dispatch(there, "fac-001").state.status == "prepared"
    there.do(RETRY)
    assert its_dispatch(there).state.status == "prepared"
    there.scenario.at(FOLLOWS_AT)
    there.do(StartDREvent(dr_event_id=NEXT))
    assert its_dispatch(there).state.was_committed


def test_a_facility_not_restored_by_the_start_fails_with_its_reason() -> None:
    there = left_curtailed(accepted_before=True)
    with_fresh_forecasts(there, FOLLOWS_AT - timedelta(minutes=30))
    there.scenario.at(FOLLOWS_AT - timedelta(minutes=10))
    there.do(StartPreparation(dr_event_id=NEXT))
    there.scenario.at(FOLLOWS_AT)
    there.do(StartDREvent(dr_event_id=NEXT))
    assert its_dispatch(there).state.failure is not None
    assert "not restored from an earlier DR event" in str(its_dispatch(there).state.failure)
    assert ("fac-002", "prepare") not in there.actions()[-3:]


def test_a_plan_excludes_the_facility_and_includes_it_again_after_its_restore() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.control.fail_next("fac-002", "refuse")
    there.scenario.after(requested_next())  # it is planned later
    there.position = there.scenario.store.head()
    there.until("completed")
    assert facility(there).not_restored_from == {str(DR_EVENT_ID)}
    with_fresh_forecasts(there, FOLLOWS_AT - timedelta(minutes=30))
    there.scenario.at(FOLLOWS_AT - timedelta(minutes=20))
    there.do(PlanDREvent(dr_event_id=NEXT))
    assert [target.facility_id for target in following(there).targets] == ["fac-001"]
    there.do(RETRY)
    assert [target.facility_id for target in following(there).targets] == ["fac-001", "fac-002"]


def test_planning_is_refused_if_the_unrestored_facility_is_the_only_one() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.control.fail_next("fac-002", "refuse")
    there.scenario.after(requested_next("fac-002"))
    there.position = there.scenario.store.head()
    there.until("completed")
    there.scenario.at(FOLLOWS_AT - timedelta(minutes=20))
    there.scenario.when(PlanDREvent(dr_event_id=NEXT)).then(fact(DREvent.PlanningRefused))
    assert [reason.code for reason in following(there).reasons] == ["not_restored"]


def test_a_repeated_restore_failure_is_recorded_once_and_a_later_restore_is_confirmed() -> None:
    there = left_curtailed()
    there.control.fail_next("fac-002", "refuse")
    there.do(RETRY)
    assert there.dispatch("fac-002").status == "restore_failed"
    assert len(there.recorded(Facility.RestoreAwaited)) == 1
    assert there.recorded(Facility.RestoreConfirmed) == []
    there.do(RETRY)
    [confirmed] = there.recorded(Facility.RestoreConfirmed)
    assert isinstance(confirmed, Facility.RestoreConfirmed)
    assert (confirmed.dr_event_id, confirmed.dr_event_ids) == (DR_EVENT_ID, ())
