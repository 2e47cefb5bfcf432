"""The rows of a DR event say why a facility does not serve, and what is missing with it."""

import pytest

from application.commands.facility import OptInFacility, OptOutFacility
from domain.identifiers import dispatch_id
from projections.dispatch.projection import DispatchRow
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID

BOTH = ("fac-001", "fac-002")


def rows(there: InProcessSystem) -> FakeReadModels:
    return FakeReadModels(there.scenario.store.read_after(0, 10_000))


def why(there: InProcessSystem, facility_id: str = "fac-002") -> str | None:
    row = rows(there).dispatches.get(str(dispatch_id(DR_EVENT_ID, facility_id)))
    assert isinstance(row, DispatchRow)
    return row.what_went_wrong


def missing_kw(there: InProcessSystem) -> float:
    read_models = rows(there)
    dr_event = read_models.dr_events.get(str(DR_EVENT_ID))
    assert dr_event is not None
    return dr_event.missing_now_kw(read_models.dispatches.listed(limit=100).rows)


def test_a_blocked_dispatch_says_what_blocks_it_before_and_after_the_start() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",)).until("scheduled")
    assert (why(there) or "").startswith("blocked: its forecast is degraded_no_weather")
    assert missing_kw(there) == 0.0
    there.until("completed")
    assert (why(there) or "").startswith("blocked: its forecast is degraded_no_weather")
    assert missing_kw(there) == pytest.approx(50.0)
    assert why(there, "fac-001") is None


@pytest.mark.parametrize("status", ["scheduled", "preparing", "active"])
def test_an_opt_out_says_its_reason_and_its_share_is_missing(status: str) -> None:
    there = InProcessSystem.accepted(*BOTH).until(status)  # type: ignore[arg-type]  # a parameter is a str
    there.do(OptOutFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="the boiler is out"))
    assert why(there) == "opted out: the boiler is out"
    assert missing_kw(there) == pytest.approx(50.0)


def test_a_share_that_others_take_over_is_not_missing() -> None:
    there = InProcessSystem.accepted(*BOTH, terms={"shortfall_policy": "reallocate"}).until("scheduled")
    there.do(OptOutFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="the boiler is out"))
    assert missing_kw(there) == 0.0


def test_a_facility_that_is_back_has_no_fault_and_its_share_is_not_missing() -> None:
    there = InProcessSystem.accepted(*BOTH).until("scheduled")
    there.do(OptOutFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="the boiler is out"))
    there.do(OptInFacility(facility_id="fac-002", dr_event_id=DR_EVENT_ID, reason="repaired"))
    assert why(there) is None
    assert missing_kw(there) == 0.0
