"""A BMS restarts, as after a power cut: prepared zones are lost, a curtailment stays."""

from domain.dispatch import Dispatch
from interfaces.simulators.bms.journal import duplicate_actions
from tests.in_process_system import InProcessSystem

BOTH = ("fac-001", "fac-002")


def test_a_commit_is_refused_and_the_facility_fails_if_the_bms_lost_its_preparation() -> None:
    there = InProcessSystem.accepted(*BOTH).until("preparing")
    there.buildings["fac-002"].restart(there.scenario.clock.now())
    there.until("active")
    [refused] = there.recorded(Dispatch.BmsCommandRefused)
    assert isinstance(refused, Dispatch.BmsCommandRefused)
    assert (refused.facility_id, refused.code) == ("fac-002", "not_prepared")
    assert ("fac-002", "commit") not in there.actions()

    there.until("completed")
    assert (there.dr_event.outcome, there.dispatch("fac-001").status) == ("partial", "restored")
    assert there.dispatch("fac-002").is_final
    [alert] = there.alerts.listed()
    assert (alert.name, alert.detail) == ("batch_below_80_percent", "1 of 2 facilities served")


def test_a_curtailment_persists_over_the_restart_and_is_restored_at_the_end() -> None:
    there = InProcessSystem.accepted(*BOTH).until("active")
    there.buildings["fac-002"].restart(there.scenario.clock.now())
    assert there.buildings["fac-002"].shed_kw(there.scenario.clock.now()) > 0
    there.until("completed")
    assert there.dr_event.outcome == "full"
    assert {there.dispatch(i).status for i in BOTH} == {"restored"}
    assert duplicate_actions(there.journal) == {}
