"""Changes that reach a dispatch while an earlier change is still in progress."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import pytest

from application.commands.dr_event import (
    CancelDREvent,
    EndDREvent,
    PlanDREvent,
    ReallocateShortfall,
    ReplanDREvent,
    StartDREvent,
)
from application.commands.facility import DeactivateFacility, OptInFacility, OptOutFacility
from application.ports.forecast.forecast_book import IssuedForecast
from domain.dispatch import Dispatch, Phase
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT, judge, zone_entry
from tests.state_walks import FOUND, dispatch_walk
from tests.unit.application.dr_event.test_modification import BOTH, HOUR, changed
from tests.unit.domain.dispatch.test_zone_dropped import report, status

OUT = OptOutFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="guests are in the house")
BACK = OptInFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="they have gone")


def being_released(**terms: str) -> InProcessSystem:
    """The start was postponed, and the aborts of prepared zones are in flight."""
    there = InProcessSystem.accepted(*BOTH, terms=terms).until("preparing")
    there.scenario.after(changed(starts_at=STARTS_AT + 2 * HOUR, ends_at=ENDS_AT + 2 * HOUR))
    there.relay_all()
    assert {there.dispatch(i).status for i in BOTH} == {"aborting"}
    return there


def actions_of(there: InProcessSystem, facility_id: str) -> list[str]:
    return [action for i, action in there.actions() if i == facility_id]


def test_a_facility_that_opts_out_during_a_release_is_not_prepared_again() -> None:
    there = being_released()
    there.scenario.when(OUT).then(fact(Facility.OptedOut), fact(Dispatch.LeftEarly, cause="opted_out"))
    there.settle()
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").left) == ("aborted", "opted_out")
    there.until("completed")
    assert actions_of(there, "fac-002") == ["prepare", "abort"]
    assert there.dr_event.batch is not None
    assert (there.dr_event.batch.served, there.dr_event.batch.opted_out) == (1, 1)


def test_a_second_modification_during_a_release_is_applied() -> None:
    there = being_released()
    moved = {"starts_at": STARTS_AT + HOUR, "ends_at": ENDS_AT + HOUR, "target_kw": 160.0}
    there.do(changed(modification_number=2, **moved))
    assert {(there.dispatch(i).starts_at, there.dispatch(i).target_kw) for i in BOTH} == {
        (STARTS_AT + HOUR, 80.0)
    }
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert [target.facility_id for target in there.dr_event.targets] == list(BOTH)


def test_a_facility_that_is_removed_during_a_release_is_not_prepared_again() -> None:
    there = being_released()
    moved = {"starts_at": STARTS_AT + HOUR, "ends_at": ENDS_AT + HOUR, "target_kw": 50.0}
    there.do(changed(modification_number=2, facility_ids=("fac-001",), **moved)).until("completed")
    assert actions_of(there, "fac-002") == ["prepare", "abort"]
    assert there.dispatch("fac-002").left == "left_out"


def test_the_dr_event_is_completed_if_the_batch_is_aborted_during_a_release() -> None:
    there = being_released(shortfall_policy="abort")
    there.do(ReallocateShortfall(dr_event_id=DR_EVENT_ID))
    assert {there.dispatch(i).status for i in BOTH} == {"aborted"}
    assert there.dr_event.status == "completed"


def test_all_dispatches_are_aborted_if_the_dr_event_is_cancelled_during_a_release() -> None:
    there = being_released()
    there.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    assert {there.dispatch(i).status for i in BOTH} == {"aborted"}


def test_dispatches_to_prepare_again_are_aborted_if_the_change_is_relayed_after_the_end() -> None:
    """The relay processed the change only after the window was over."""
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.scenario.after(changed(ends_at=ENDS_AT + HOUR))
    there.scenario.after(ReplanDREvent(dr_event_id=DR_EVENT_ID, cause="modified"))
    there.scenario.at(STARTS_AT).after(StartDREvent(dr_event_id=DR_EVENT_ID))
    there.scenario.at(ENDS_AT + HOUR).after(EndDREvent(dr_event_id=DR_EVENT_ID))
    there.settle()
    assert {there.dispatch(i).status for i in BOTH} == {"aborted"}
    assert (there.dr_event.status, there.dr_event.outcome) == ("completed", "failed")


def during_planning(there: InProcessSystem, command: msgspec.Struct, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next plan finds the forecasts only after that command."""
    book = there.scenario.forecasts

    def newest_of(facility_ids: Sequence[str], *, at: datetime) -> dict[str, IssuedForecast]:
        monkeypatch.undo()
        there.scenario.after(command)
        return book.newest_of(facility_ids, at=at)

    monkeypatch.setattr(book, "newest_of", newest_of)


@pytest.mark.parametrize("returns", [False, True])
def test_a_facility_that_opts_out_during_planning_is_not_prepared(
    returns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan and the opt-out are on different streams, so both are saved."""
    there = InProcessSystem.accepted(*BOTH)
    if returns:
        there.settle().do(OUT)
        there.scenario.after(BACK)
    during_planning(there, OUT, monkeypatch)
    plan = PlanDREvent(dr_event_id=DR_EVENT_ID)
    there.scenario.after(ReplanDREvent(dr_event_id=DR_EVENT_ID, cause="rejoined") if returns else plan)
    assert there.dispatch("fac-002").status == "planned"
    there.until("completed")
    assert actions_of(there, "fac-002") == []
    assert there.dispatch("fac-002").left == "opted_out"
    assert there.dr_event.batch is not None
    assert (there.dr_event.batch.served, there.dr_event.batch.opted_out) == (1, 1)


def test_a_facility_that_is_deactivated_during_planning_leaves_and_the_others_take_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The plan and the deactivation are on different streams, so both are saved."""
    there = InProcessSystem.accepted(*BOTH, target_kw=80.0, terms={"shortfall_policy": "reallocate"})
    during_planning(there, DeactivateFacility(facility_id="fac-002", reason="sold"), monkeypatch)
    there.scenario.after(PlanDREvent(dr_event_id=DR_EVENT_ID))
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").target_kw) == ("planned", 40.0)
    there.until("active")
    assert (there.dispatch("fac-002").status, there.dispatch("fac-002").left) == ("aborted", "opted_out")
    assert there.dispatch("fac-001").target_kw == 80.0
    there.until("completed")
    assert actions_of(there, "fac-002") == []
    assert there.dr_event.batch is not None
    assert (there.dr_event.batch.served, there.dr_event.batch.opted_out) == (1, 1)


def test_a_facility_without_a_dispatch_is_released_if_it_is_removed_while_active() -> None:
    there = InProcessSystem.accepted(*BOTH)
    recorded = there.scenario.forecasts.recorded
    recorded[:] = [known for known in recorded if known.facility_id == "fac-001"]
    there.until("active")
    assert there.dr_event.dispatched == ("fac-001",)
    there.do(changed(facility_ids=("fac-001",), target_kw=50.0))
    facility = there.scenario.store.load(Facility, facility_stream_id("fac-002")).state
    assert facility.reservations == {}


def test_a_zone_excluded_by_its_comfort_limit_is_not_reported_as_drift() -> None:
    zones = (zone_entry("hall"), zone_entry("roof", comfort_limit_c=22.0))
    there = InProcessSystem.accepted("fac-001", target_kw=100.0, zones=zones).until("preparing")
    there.scenario.at(STARTS_AT)
    there.do(StartDREvent(dr_event_id=DR_EVENT_ID))
    assert set(there.dispatch().curtailed_at) == {"hall"}
    assert there.dispatch().status == "verified_by_bms"
    assert there.recorded(Dispatch.DriftDetected) == []


def test_a_zone_without_an_observation_is_not_verified() -> None:
    walk = dispatch_walk(("hall", "roof"))
    phases: tuple[Phase, ...] = ("prepare", "commit")
    for phase in phases:
        walk.take(phase)
        for zone_id in ("hall", "roof"):
            report(walk, zone_id, phase, "success")
    assert status(walk) == "committed"
    walk.aggregate.verify_by_bms(walk.provenance, states={"hall": (FOUND, True)})
    assert (status(walk), walk.aggregate.collect_events()) == ("committed", [])
    walk.aggregate.verify_by_bms(walk.provenance, states={"hall": (FOUND, False)})
    [drift] = walk.aggregate.collect_events()
    assert isinstance(drift, Dispatch.DriftDetected)


def test_a_zone_whose_minimum_off_time_exceeds_the_rest_of_the_window_is_not_added() -> None:
    zones = (zone_entry("hall"), zone_entry("roof", minimum_off_s=3600))
    there = InProcessSystem.registered(*BOTH, zones=zones)
    there.scenario.after(judge(facility_ids=("fac-001",), target_kw=160.0))
    there.until("active")
    there.scenario.at(ENDS_AT - HOUR / 2)
    there.do(changed(target_kw=260.0))
    assert set(there.dispatch("fac-001").zones) == {"hall", "roof"}, (
        "the roof has been curtailed since the start"
    )
    assert set(there.dispatch("fac-002").zones) == {"hall"}
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_a_facility_released_for_its_maximum_curtailment_counts_as_failed() -> None:
    zones = (zone_entry("hall", longest_curtailment_s=7200), zone_entry("roof"))
    there = InProcessSystem.accepted(*BOTH, zones=zones, target_kw=200.0).until("active")
    there.do(changed(ends_at=ENDS_AT + HOUR, target_kw=100.0)).until("completed")
    assert {there.dispatch(i).left for i in BOTH} == {"left_out"}
    assert (there.dr_event.outcome, there.dr_event.failed_facilities) == ("failed", BOTH)
