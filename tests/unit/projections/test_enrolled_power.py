"""The read model of facilities knows what was enrolled in a program at each moment."""

from datetime import timedelta

from application.commands.facility import RegisterFacility
from application.facility.portfolio_entries import EnrolmentEntry
from projections.facility import FacilityRow, key_of
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario, given
from tests.sample_values import NOW, PROGRAM, facility_entry, portfolio_commands

LATER = NOW + timedelta(days=3)


def row_of(scenario: Scenario) -> FacilityRow:
    row = FakeReadModels(scenario.store.read_after(0, 1_000)).facilities.get(key_of("fac-001"))
    assert row is not None
    return row


def test_the_enrolled_power_of_a_moment_is_that_agreed_last_before_it() -> None:
    first = facility_entry(programs=(EnrolmentEntry(program_id=PROGRAM, kw=120.0),))
    scenario = given().after(*portfolio_commands(first))
    scenario.at(LATER)
    scenario.after(
        RegisterFacility(entry=facility_entry(programs=(EnrolmentEntry(program_id=PROGRAM, kw=80.0),)))
    )
    row = row_of(scenario)
    assert [row.enrolled_kw(PROGRAM, at) for at in (NOW - timedelta(days=1), NOW, LATER)] == [
        None,
        "120",
        "80",
    ]
    assert row.enrolled_kw("another", LATER) is None


def test_a_facility_that_was_withdrawn_has_none_from_then_on() -> None:
    first = facility_entry(programs=(EnrolmentEntry(program_id=PROGRAM, kw=120.0),))
    scenario = given().after(*portfolio_commands(first))
    scenario.at(LATER)
    scenario.after(RegisterFacility(entry=facility_entry(programs=())))
    row = row_of(scenario)
    assert (row.enrolled_kw(PROGRAM, NOW), row.enrolled_kw(PROGRAM, LATER)) == ("120", None)
