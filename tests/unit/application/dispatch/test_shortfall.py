"""A facility drops out: the program continues, reallocates its share, or ends the whole batch."""

import pytest

from application.commands.dispatch import RestoreDispatch
from application.commands.dr_event import ReallocateShortfall
from domain.dispatch import Dispatch
from domain.dr_event import Batch, DREvent
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, zone_entry

THREE = ("fac-001", "fac-002", "fac-003")


def world(policy: str, *, target_kw: float = 150.0) -> InProcessSystem:
    return InProcessSystem.accepted(*THREE, target_kw=target_kw, terms={"shortfall_policy": policy})


def targets(there: InProcessSystem) -> dict[str, float]:
    return {i: round(there.dispatch(i).target_kw, 3) for i in THREE}


def failing_at(there: InProcessSystem, phase: str, facility_id: str = "fac-002") -> InProcessSystem:
    there.until("scheduled" if phase == "prepare" else "preparing")
    there.control.fail_next(facility_id, "refuse")
    return there


def test_continue_proceeds_without_the_failed_facility() -> None:
    there = failing_at(world("continue"), "prepare").until("completed")
    assert targets(there) == {"fac-001": 50.0, "fac-002": 50.0, "fac-003": 50.0}
    assert there.dr_event.plan_revision == 1
    assert there.dr_event.outcome == "partial"


@pytest.mark.parametrize("phase", ["prepare", "commit"])
def test_reallocate_gives_the_failed_share_to_the_others(phase: str) -> None:
    there = failing_at(world("reallocate"), phase).until("active")
    assert targets(there) == {"fac-001": 75.0, "fac-002": 50.0, "fac-003": 75.0}
    now = there.scenario.clock.now()
    shed = {i: round(building.shed_kw(now), 3) for i, building in there.buildings.items()}
    assert shed == {"fac-001": 75.0, "fac-002": 0.0, "fac-003": 75.0}
    [replanned] = there.recorded(DREvent.Replanned)
    assert isinstance(replanned, DREvent.Replanned)
    assert (replanned.plan_revision, replanned.cause, replanned.missing_kw) == (2, "shortfall", 0.0)
    assert {target.facility_id for target in replanned.targets} == {"fac-001", "fac-003"}


def test_reallocate_stays_within_the_recorded_headroom() -> None:
    there = failing_at(world("reallocate", target_kw=270.0), "prepare").until("active")
    assert targets(there) == {"fac-001": 100.0, "fac-002": 90.0, "fac-003": 100.0}
    assert round(there.dr_event.missing_kw, 3) == 70.0


def test_the_plan_is_not_revised_if_no_facility_has_headroom() -> None:
    there = failing_at(world("reallocate", target_kw=300.0), "prepare").until("active")
    assert there.dr_event.plan_revision == 1


def test_reallocate_never_goes_beyond_the_comfort_limit() -> None:
    """At 22 degrees with a limit of 24, a zone of 3 kelvin may be raised by 2: two thirds of its 100 kW."""
    zones = (zone_entry("hall", comfort_limit_c=24.0),)
    there = InProcessSystem.accepted(
        *THREE, target_kw=150.0, terms={"shortfall_policy": "reallocate"}, zones=zones
    )
    failing_at(there, "commit").until("active")
    assert targets(there)["fac-001"] == pytest.approx(66.667, abs=0.001)
    assert there.dispatch("fac-001").latest("commit")["hall"].command.magnitude == pytest.approx(2.0)


def test_abort_undoes_the_whole_batch_in_reverse_order_of_commits() -> None:
    there = failing_at(world("abort"), "commit", "fac-003").until("completed")
    committed = [e.facility_id for e in there.recorded(Dispatch.Committed) if isinstance(e, Dispatch.Event)]
    restored = [i for i, action in there.actions() if action == "restore"]
    [aborted] = there.recorded(DREvent.BatchAborted)
    assert isinstance(aborted, DREvent.BatchAborted)
    assert committed
    assert [i for i in aborted.facility_ids if i in committed] == list(reversed(committed))
    assert set(restored) == set(committed)
    assert there.dr_event.outcome == "failed"
    assert there.dr_event.batch is not None
    assert (there.dr_event.batch.served, there.dr_event.batch.failed) == (0, 3)
    assert there.dr_event.batch.total_failure


def test_a_restore_that_comes_before_the_leave_of_an_aborted_batch_serves_nobody() -> None:
    """The commands that follow a commit and the end of the batch are for one building: either may be first."""
    there = world("abort").until("active")
    there.scenario.after(
        ReallocateShortfall(dr_event_id=DR_EVENT_ID),
        RestoreDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-002"),
    )
    [left] = there.recorded(Dispatch.LeftEarly)
    assert (left.facility_id, left.cause) == ("fac-002", "batch_aborted")
    there.until("completed")
    assert there.dr_event.batch is not None
    assert (there.dr_event.outcome, there.dr_event.batch.served) == ("failed", 0)


def test_abort_before_the_start_releases_all_facilities() -> None:
    there = failing_at(world("abort"), "prepare")
    there.until("completed")
    assert {there.dispatch(i).status for i in THREE} <= {"aborted", "failed", "compensated"}
    assert "commit" not in {action for _, action in there.actions()}
    assert there.dr_event.outcome == "failed"


@pytest.mark.parametrize(
    ("batch", "partial", "total"),
    [
        (Batch(asked=3, prepared=3, committed=3, failed=0, restored=3), False, False),
        (Batch(asked=3, prepared=3, committed=2, failed=1, restored=2), True, False),
        (Batch(asked=3, prepared=0, committed=0, failed=2, restored=0, opted_out=1), False, True),
    ],
)
def test_the_batch_reports_partial_success_and_total_failure(
    batch: Batch, partial: bool, total: bool
) -> None:
    assert (batch.partial_success, batch.total_failure) == (partial, total)
    assert batch.served + batch.failed + batch.opted_out == batch.asked


def test_success_below_eighty_percent_raises_an_alert() -> None:
    there = failing_at(world("continue"), "prepare").until("completed")
    [alert] = there.alerts.listed()
    assert (alert.name, alert.detail) == ("batch_below_80_percent", "2 of 3 facilities served")
