"""During the window buildings are compared with their commands: drift is recorded and corrected."""

from datetime import timedelta

from application.commands.dispatch import ReconcileDispatch, ZoneObservation
from domain.dispatch import Dispatch, Setpoint
from domain.dispatch.verification import MAX_COMMIT_ROUNDS
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT


def seen(there: InProcessSystem) -> ReconcileDispatch:
    """The zone state that the building of fac-001 reports."""
    state = there.buildings["fac-001"].zone_state("hall", there.scenario.clock.now())
    return reconciliation(state.setpoint.value, curtailed=state.curtailed)


def reconciliation(value: float, *, curtailed: bool = True) -> ReconcileDispatch:
    zone = ZoneObservation(
        zone_id="hall", setpoint=Setpoint(value=value, unit="celsius"), curtailed=curtailed
    )
    return ReconcileDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-001", zones=(zone,))


def active() -> InProcessSystem:
    there = InProcessSystem.accepted("fac-001", target_kw=50.0).until("active")
    there.scenario.at(STARTS_AT + timedelta(minutes=5))
    return there


def test_a_building_in_its_commanded_state_records_nothing() -> None:
    there = active()
    outcome = there.scenario.when(seen(there))
    outcome.then()
    assert outcome.reply == ()


def test_drift_is_recorded_and_corrected_by_a_new_round() -> None:
    there = active()
    there.buildings["fac-001"].override("hall", 20.0, there.scenario.clock.now())
    outcome = there.scenario.when(seen(there))
    outcome.then(fact(Dispatch.DriftDetected, zone_id="hall"), fact(Dispatch.BmsCommandRequested))
    assert outcome.reply == ("hall",)
    there.scenario.when(seen(there)).then()
    there.settle()
    assert there.buildings["fac-001"].shed_kw(there.scenario.clock.now()) == 50.0
    assert len(there.recorded(Dispatch.Recommitted)) == 1
    assert there.dispatch().latest("commit")["hall"].command.round == 2


def test_a_changed_setpoint_is_drift() -> None:
    there = active()
    assert there.scenario.when(reconciliation(23.45)).reply == ()
    assert there.scenario.when(reconciliation(23.0)).reply == ("hall",)


def test_the_minimum_off_time_counts_anew_once_the_equipment_ran_again() -> None:
    there = active()
    committed_at = there.dispatch().curtailed_at["hall"]
    there.scenario.when(reconciliation(23.0, curtailed=True))
    assert there.dispatch().curtailed_at["hall"] == committed_at
    there.settle()
    there.scenario.when(reconciliation(20.0, curtailed=False))
    assert there.dispatch().curtailed_at["hall"] == there.scenario.clock.now() > committed_at


def test_a_refused_correction_leaves_the_building_unchanged_and_is_retried() -> None:
    there = active()
    there.control.fail_next("fac-001", "refuse")
    there.do(reconciliation(20.0, curtailed=False))
    assert len(there.recorded(Dispatch.RecommitFailed)) == 1
    assert there.dispatch().status in {"committed", "verified_by_bms"}
    assert there.scenario.when(reconciliation(20.0, curtailed=False)).reply == ("hall",)
    there.settle().until("completed")
    assert there.dispatch().status == "restored"


def test_after_some_rounds_repeated_drift_is_no_longer_corrected() -> None:
    there = active()
    for _ in range(MAX_COMMIT_ROUNDS + 5):
        there.do(reconciliation(20.0, curtailed=False))
    assert there.dispatch().latest("commit")["hall"].command.round == MAX_COMMIT_ROUNDS + 1
    there.scenario.when(reconciliation(20.0, curtailed=False)).then()


def test_no_drift_is_recorded_outside_the_window() -> None:
    there = InProcessSystem.accepted("fac-001", target_kw=50.0).until("completed")
    there.scenario.at(ENDS_AT + timedelta(minutes=5))
    there.scenario.when(reconciliation(20.0, curtailed=False)).then()


def test_the_restore_follows_a_correction_in_progress_at_the_end_of_the_window() -> None:
    there = active()
    there.scenario.after(reconciliation(20.0, curtailed=False))
    there.until("completed")
    assert [action for _, action in there.actions()] == ["prepare", "commit", "commit", "restore"]
