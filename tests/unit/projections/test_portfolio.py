"""The available power of the portfolio excludes facilities that feasibility would refuse."""

import pytest

from application.commands.dispatch import RestoreByHand
from application.commands.facility import OptInFacility, OptOutFacility
from projections.portfolio.projection import KEY, PortfolioRow
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID

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
