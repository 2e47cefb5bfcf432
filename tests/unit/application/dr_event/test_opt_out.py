"""A facility opts out, before the start or during the window, and opts in again."""

from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from application.commands.dispatch import RecordMeasurement
from application.commands.facility import OptInFacility, OptOutFacility
from domain.dispatch import Dispatch
from domain.dr_event import Batch, DREvent, DREventStatus
from domain.errors import NotAllowedNow, ReasonRequired, UnknownFacility
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.measured_figures import figures
from tests.sample_values import DR_EVENT_ID, STARTS_AT, judge

BOTH = ("fac-001", "fac-002")
REALLOCATE = {"shortfall_policy": "reallocate"}


def out(facility_id: str = "fac-002", dr_event_id: UUID | None = DR_EVENT_ID) -> OptOutFacility:
    return OptOutFacility(facility_id=facility_id, dr_event_id=dr_event_id, reason="guests are in the house")


def back(facility_id: str = "fac-002", dr_event_id: UUID | None = DR_EVENT_ID) -> OptInFacility:
    return OptInFacility(facility_id=facility_id, dr_event_id=dr_event_id, reason="they have gone")


def test_an_opt_out_needs_a_reason_a_facility_and_a_reservation() -> None:
    scenario = InProcessSystem.accepted(*BOTH).scenario
    scenario.when(OptOutFacility(facility_id="fac-002", reason=" ")).refused(ReasonRequired)
    scenario.when(out("fac-009")).refused(UnknownFacility)
    scenario.when(out(dr_event_id=UUID(int=5))).refused(NotAllowedNow, saying="not reserved")


def test_a_facility_that_opts_out_before_planning_is_not_planned() -> None:
    there = InProcessSystem.accepted(*BOTH)
    there.scenario.when(out()).then(fact(Facility.OptedOut, dr_event_ids=(DR_EVENT_ID,)))
    there.until("completed")
    assert there.dr_event.dispatched == ("fac-001",)
    assert there.dr_event.batch == Batch(asked=2, prepared=1, committed=1, failed=0, restored=1, opted_out=1)
    [completed] = there.recorded(DREvent.Completed)
    assert isinstance(completed, DREvent.Completed)
    assert completed.opted_out_facilities == ("fac-002",)
    assert there.dr_event.outcome == "partial"


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        ("scheduled", []),
        ("preparing", ["prepare", "abort"]),
        ("active", ["prepare", "commit", "restore"]),
    ],
)
def test_an_opt_out_releases_the_building_at_once_and_counts_as_opted_out(
    status: DREventStatus, actions: list[str]
) -> None:
    there = InProcessSystem.accepted(*BOTH).until(status)
    outcome = there.scenario.when(out())
    assert [type(e) for e in outcome.recorded[:2]] == [Facility.OptedOut, Dispatch.LeftEarly]
    there.settle()
    assert [action for i, action in there.actions() if i == "fac-002"] == actions
    there.until("completed")
    batch = there.dr_event.batch
    assert batch is not None
    assert (batch.served, batch.failed, batch.opted_out) == (1, 0, 1)


def test_a_repeated_opt_out_changes_nothing() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active").do(out())
    again = there.scenario.when(out())
    again.then()
    assert again.reply.opted_out is True


def test_a_program_that_reallocates_gives_the_share_to_others_within_their_headroom() -> None:
    there = InProcessSystem.accepted(*BOTH, target_kw=160.0, terms=REALLOCATE).until("active").do(out())
    assert there.dispatch("fac-001").target_kw == 100.0, "limited by its headroom"
    assert round(there.dr_event.missing_kw, 3) == 60.0
    now = there.scenario.clock.now()
    assert there.buildings["fac-001"].shed_kw(now) == pytest.approx(100.0)


def test_the_delivery_until_an_opt_out_counts_for_that_part_of_the_window() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.scenario.at(STARTS_AT + timedelta(minutes=30))
    there.do(out())
    assert there.dispatch("fac-002").ends_at == STARTS_AT + timedelta(minutes=30)
    there.until("completed")
    there.do(measured("fac-001", 50.0), measured("fac-002", 40.0))
    assert there.dr_event.delivered_kw == pytest.approx(50.0 + 40.0 * 0.25)


@pytest.mark.parametrize("status", ["scheduled", "preparing"])
def test_a_facility_may_opt_in_again_if_nothing_was_curtailed(status: DREventStatus) -> None:
    there = InProcessSystem.accepted(*BOTH, terms=REALLOCATE).until(status).do(out())
    assert there.dispatch("fac-002").status == "aborted"
    there.do(back()).until("completed")
    assert there.dr_event.batch is not None
    assert (there.dr_event.batch.served, there.dr_event.batch.opted_out) == (2, 0)
    assert there.dr_event.outcome == "full"


def test_a_building_is_not_curtailed_twice_in_one_dr_event() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active").do(out(), back())
    assert there.dispatch("fac-002").status == "restored"
    there.until("completed")
    assert [action for i, action in there.actions() if i == "fac-002"] == ["prepare", "commit", "restore"]


def test_a_facility_may_opt_in_again_before_planning() -> None:
    there = InProcessSystem.accepted(*BOTH)
    there.scenario.after(out(), back())
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_a_facility_that_opted_out_of_all_dr_events_serves_none_until_it_opts_in() -> None:
    there = InProcessSystem.registered(*BOTH)
    there.scenario.after(out(dr_event_id=None))
    refused = there.scenario.when(judge(facility_ids=BOTH, target_kw=100.0))
    assert [(r.code, r.facility_id) for r in refused.reply.reasons] == [("opted_out", "fac-002")]
    there.scenario.after(back(dr_event_id=None))
    assert there.scenario.when(judge(facility_ids=BOTH)).reply.status == "accepted"


def test_an_opt_in_to_one_dr_event_does_not_undo_an_opt_out_of_all() -> None:
    there = InProcessSystem.accepted(*BOTH)
    there.scenario.after(out(dr_event_id=None))
    there.scenario.when(back()).refused(NotAllowedNow, saying="opt in to all")


def measured(facility_id: str, kw: float) -> RecordMeasurement:
    return RecordMeasurement(dr_event_id=DR_EVENT_ID, facility_id=facility_id, figures=figures(kw))


def event_days(there: InProcessSystem, facility_id: str) -> frozenset[date]:
    """Its event days as a measurement of another DR event sees them."""
    state = there.scenario.store.load(Facility, facility_stream_id(facility_id)).state
    return state.event_days(ZoneInfo(state.tz), without=UUID(int=1))


def test_a_day_is_no_event_day_of_a_facility_that_opted_out_before_the_start() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.do(out("fac-002"))
    for status in ("active", "completed"):
        there.until(status)
        assert event_days(there, "fac-001") == {date(2026, 7, 14)}
        assert event_days(there, "fac-002") == frozenset()


def test_a_day_stays_an_event_day_of_a_facility_that_opted_out_after_the_start() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.do(out("fac-002")).until("completed")
    assert event_days(there, "fac-002") == {date(2026, 7, 14)}


def test_a_facility_that_opted_in_again_before_the_start_has_an_event_day() -> None:
    there = InProcessSystem.accepted(*BOTH)
    there.do(out("fac-002")).do(back("fac-002"))
    assert event_days(there, "fac-002") == {date(2026, 7, 14)}
