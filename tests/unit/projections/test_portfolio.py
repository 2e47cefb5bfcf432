"""The available power of the portfolio excludes facilities that feasibility would refuse."""

import pytest

from application.commands.dispatch import JudgeBlockedDispatch, OverrideForecast, RestoreByHand
from application.commands.dr_event import CancelDREvent
from application.commands.facility import OptInFacility, OptOutFacility
from projections.portfolio.projection import KEY, PortfolioRow
from projections.portfolio.row import Readiness
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, forecast

BOTH = ("fac-001", "fac-002")


def portfolio(there: InProcessSystem) -> PortfolioRow:
    row = FakeReadModels(there.scenario.store.read_after(0, 10_000)).portfolio.get(KEY)
    assert isinstance(row, PortfolioRow)
    return row


def sums(there: InProcessSystem) -> tuple[float, float, float]:
    """Available, reserved and withheld kW."""
    row = portfolio(there)
    return (row.available_kw, row.reserved_kw, row.withheld_kw)


@pytest.fixture
def there() -> InProcessSystem:
    """Two facilities of 100 kW, and one DR event over both."""
    return InProcessSystem.accepted(*BOTH)


def test_a_facility_that_opted_out_of_all_is_withheld_until_it_opts_in(there: InProcessSystem) -> None:
    there.until("completed")
    assert sums(there) == (200.0, 0.0, 0.0)
    there.do(OptOutFacility(facility_id="fac-001", dr_event_id=None, reason="a wedding in the hall"))
    assert sums(there) == (100.0, 0.0, 100.0)
    assert portfolio(there).withheld_facilities == 1
    there.do(OptInFacility(facility_id="fac-001", dr_event_id=None, reason="it was called off"))
    assert sums(there) == (200.0, 0.0, 0.0)


def test_a_facility_that_opted_out_of_one_dr_event_is_available_for_others(there: InProcessSystem) -> None:
    there.do(OptOutFacility(facility_id="fac-001", dr_event_id=DR_EVENT_ID, reason="a wedding in the hall"))
    there.until("completed")
    assert sums(there) == (200.0, 0.0, 0.0)


def test_a_facility_that_awaits_a_restore_is_withheld(there: InProcessSystem) -> None:
    there.until("active")
    there.control.fail_next("fac-002", "refuse")
    there.until("completed")
    assert sums(there) == (100.0, 0.0, 100.0)
    there.do(RestoreByHand(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="told by phone"))
    assert sums(there) == (200.0, 0.0, 0.0)


def test_an_opt_out_does_not_change_the_reserved_power(there: InProcessSystem) -> None:
    there.until("scheduled")
    there.do(OptOutFacility(facility_id="fac-001", dr_event_id=None, reason="a wedding in the hall"))
    row = portfolio(there)
    assert row.available_kw + row.reserved_kw + row.withheld_kw == 200.0
    assert row.available_kw == 0.0


def readiness(there: InProcessSystem) -> Readiness | None:
    """Of the DR event, which agrees with the sums over all of them."""
    row = portfolio(there)
    found = row.readiness.get(str(DR_EVENT_ID))
    counted = Readiness(
        blocked=row.blocked_facilities,
        at_risk=row.at_risk_facilities,
        dropped_out=row.dropped_out_facilities,
    )
    assert counted == (found or Readiness())
    return found


def test_a_dr_event_whose_facilities_are_blocked_says_so_before_and_after_its_start() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=BOTH).until("scheduled")
    assert readiness(there) == Readiness(blocked=2)
    there.do(OverrideForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="I looked"))
    assert readiness(there) == Readiness(blocked=1, at_risk=1)
    assert readiness(there.until("active")) == Readiness(dropped_out=1)
    assert readiness(there.until("completed")) is None


def test_an_unblocked_facility_is_ready() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",)).until("scheduled")
    there.scenario.with_forecasts(forecast("fac-002", 300.0, at=there.scenario.clock.now()))
    there.do(JudgeBlockedDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-002"))
    assert readiness(there) is None


def test_degraded_forecasts_that_block_nothing_put_facilities_at_risk_until_they_are_curtailed() -> None:
    terms = {"forecast_guardrail": "warn"}
    there = InProcessSystem.accepted(*BOTH, degraded=("fac-002",), terms=terms).until("preparing")
    assert readiness(there) == Readiness(at_risk=1)
    assert readiness(there.until("active")) is None


def test_a_facility_that_opts_out_has_dropped_out_until_it_is_back() -> None:
    there = InProcessSystem.accepted(*BOTH).until("scheduled")
    there.do(OptOutFacility(facility_id="fac-001", dr_event_id=DR_EVENT_ID, reason="a wedding"))
    assert readiness(there) == Readiness(dropped_out=1)
    there.do(OptInFacility(facility_id="fac-001", dr_event_id=DR_EVENT_ID, reason="called off"))
    assert readiness(there) is None


def test_a_cancelled_dr_event_counts_no_longer() -> None:
    there = InProcessSystem.accepted(*BOTH, degraded=BOTH).until("scheduled")
    there.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    assert readiness(there) is None
