"""Release of buildings: minimum off times, the spread against a rebound, comfort limits."""

from datetime import timedelta

import pytest

from application.commands.dispatch import RestoreDispatch
from application.commands.dr_event import EndDREvent
from application.commands.facility import OptOutFacility
from domain.dispatch import Dispatch
from domain.dispatch.restore import LONGEST_SPREAD_S
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT, judge, zone_entry

BOTH = ("fac-001", "fac-002")


def restored_at(there: InProcessSystem) -> dict[str, timedelta]:
    return {f"{e.facility_id}/{e.zone_id}": e.at - ENDS_AT for e in there.journal if e.action == "restore"}


def test_the_zones_of_a_batch_are_spread_over_their_rebound_ramp() -> None:
    zones = tuple(zone_entry(zone_id, 50.0, rebound_ramp_s=600) for zone_id in ("hall", "roof"))
    there = InProcessSystem.accepted(*BOTH, zones=zones).until("completed")
    assert restored_at(there) == {
        "fac-001/hall": timedelta(0),
        "fac-001/roof": timedelta(seconds=150),
        "fac-002/hall": timedelta(seconds=300),
        "fac-002/roof": timedelta(seconds=450),
    }
    assert there.dr_event.outcome == "full"


def test_a_slow_ramp_delays_no_restore_beyond_the_expiry() -> None:
    there = InProcessSystem.accepted(*BOTH, zones=(zone_entry("hall", rebound_ramp_s=86_400),)).until(
        "completed"
    )
    assert restored_at(there)["fac-002/hall"] == timedelta(seconds=LONGEST_SPREAD_S / 2)
    assert there.dispatch("fac-002").expires_at > ENDS_AT + timedelta(seconds=LONGEST_SPREAD_S)


def test_an_early_or_repeated_restore_step_records_nothing() -> None:
    there = InProcessSystem.accepted(*BOTH, zones=(zone_entry("hall", rebound_ramp_s=600),)).until("active")
    there.scenario.at(ENDS_AT)
    there.do(EndDREvent(dr_event_id=DR_EVENT_ID))
    assert there.dispatch("fac-002").status == "restoring"
    step = RestoreDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-002")
    there.scenario.when(step).then()
    there.scenario.at(ENDS_AT + timedelta(seconds=300))
    [requested] = there.scenario.when(step).recorded
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    there.scenario.when(step).then()


def test_a_facility_that_opts_out_is_restored_without_waiting_for_the_others() -> None:
    there = InProcessSystem.accepted(*BOTH, zones=(zone_entry("hall", rebound_ramp_s=600),)).until("active")
    there.do(OptOutFacility(facility_id="fac-002", reason="guests"))
    assert there.dispatch("fac-002").status == "restored"


def test_no_zone_is_restored_before_its_minimum_off_time() -> None:
    there = InProcessSystem.accepted(*BOTH, zones=(zone_entry("hall", minimum_off_s=1800),)).until("active")
    there.scenario.at(STARTS_AT + timedelta(minutes=10))
    there.do(OptOutFacility(facility_id="fac-002", reason="guests"))
    assert there.dispatch("fac-002").status == "restoring"
    [step] = there.dispatch("fac-002").restore_steps
    assert step.not_before == STARTS_AT + timedelta(minutes=30)
    there.restore_next()
    assert there.dispatch("fac-002").status == "restored"


@pytest.mark.parametrize("limit", [{"minimum_off_s": 10_000}, {"longest_curtailment_s": 3_600}])
def test_a_zone_whose_limits_exclude_the_window_has_no_capacity(limit: dict[str, int]) -> None:
    zones = (zone_entry("hall", 60.0), zone_entry("roof", 40.0, **limit))
    there = InProcessSystem.registered("fac-001", zones=zones)
    assert there.scenario.when(judge(facility_ids=("fac-001",), target_kw=60.0)).reply.capacity_kw == 60.0
    there.until("active")
    assert set(there.dispatch().zones) == {"hall"}


def test_a_setpoint_is_never_raised_above_the_comfort_limit() -> None:
    """The plan asks for 3 kelvin. The zone was at 22 degrees and may not be warmer than 23.5."""
    zones = (zone_entry("hall", comfort_limit_c=23.5),)
    there = InProcessSystem.accepted("fac-001", target_kw=100.0, zones=zones).until("active")
    assert there.dispatch().latest("commit")["hall"].command.magnitude == 1.5


def test_a_facility_at_its_comfort_limit_does_not_serve() -> None:
    zones = (zone_entry("hall", comfort_limit_c=22.0),)
    there = InProcessSystem.accepted("fac-001", target_kw=100.0, zones=zones).until("completed")
    assert there.dispatch().failure == "no zone can be curtailed within its comfort limit"
    assert [action for _, action in there.actions()] == ["prepare", "abort"]
