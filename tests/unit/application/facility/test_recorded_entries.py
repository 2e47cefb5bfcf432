"""Entries made from what is recorded: posting one unchanged records nothing."""

import msgspec

from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import (
    BmsEntry,
    EnrolmentEntry,
    FacilityEntry,
    MeterEntry,
    ProgramEntry,
)
from application.facility.recorded_entries import entry_of_facility, entry_of_program
from domain.facility import Coordinates, Facility
from domain.identifiers import facility_stream_id, program_stream_id
from domain.program import Program, SettlementRule
from domain.program.settlement_rule import Energy
from tests.given_when_then import given
from tests.sample_values import facility_entry, program_entry, zone_entry

ENTRY = facility_entry(
    region="US-CA",
    groups=("north", "schools"),
    meters=(MeterEntry(meter_id="main"), MeterEntry(meter_id="annex")),
    zones=(
        zone_entry("office", minimum_off_s=60),
        zone_entry("hall", max_magnitude=-2.0, lower_comfort_limit_c=18.0),
    ),
    bms=BmsEntry(
        address="https://bms.example/1", profile="single_phase", credentials_ref="env:GRIDPROOF_SECRET_BMS"
    ),
    programs=("summer-peak", EnrolmentEntry(program_id="winter-peak", kw="40.5", level_kw=12)),
    longest_dr_event_s=7_200,
    notification_lead_s=900,
)


def recorded(entry: FacilityEntry, coordinates: Coordinates | None = None) -> FacilityEntry:
    """The entry of the facility as a form gets it: over JSON."""
    story = given().after(RegisterFacility(entry=entry))
    state = story.store.load(Facility, facility_stream_id(entry.facility_id)).state
    document = msgspec.json.encode(entry_of_facility(state, coordinates))
    return msgspec.json.decode(document, type=FacilityEntry)


def test_posting_the_recorded_entry_of_a_facility_records_nothing() -> None:
    given().after(RegisterFacility(entry=ENTRY)).when(RegisterFacility(entry=recorded(ENTRY))).then()


def test_the_entry_of_a_facility_has_everything_that_was_agreed() -> None:
    found = recorded(ENTRY)
    assert (found.tz, found.region, found.groups) == ("America/New_York", "US-CA", ("north", "schools"))
    assert [meter.meter_id for meter in found.meters] == ["annex", "main"]
    assert found.zones == ENTRY.zones[::-1]  # by id
    assert found.bms == ENTRY.bms
    assert found.enrolments[1] == EnrolmentEntry(program_id="winter-peak", kw="40.5", level_kw="12")
    assert (found.longest_dr_event_s, found.notification_lead_s, found.dr_events_per_day) == (7_200, 900, 5)


def test_the_entry_has_the_coordinates_that_stand_now() -> None:
    found = recorded(ENTRY, Coordinates(52.5, 13.4))
    assert (found.latitude, found.longitude) == (52.5, 13.4)
    assert (recorded(ENTRY).latitude, recorded(ENTRY).longitude) == (None, None)


def test_posting_the_recorded_entry_of_a_program_records_nothing() -> None:
    entry = program_entry(
        rank=3,
        baseline_method="high-4-of-5",
        rate_per_kw=1.5,
        maximum_lead_s=86_400,
        forecast_guardrail="warn",
        settlement=SettlementRule(currency="EUR", energy=Energy(rate="1.50")),
    )
    story = given().after(AgreeProgram(entry=entry))
    state = story.store.load(Program, program_stream_id(entry.program_id)).state
    assert state.terms is not None
    document = msgspec.json.encode(entry_of_program(state.program_id, state.utility_id, state.terms))
    found = msgspec.json.decode(document, type=ProgramEntry)
    assert (found.rank, found.forecast_guardrail, found.rate_per_kw) == (3, "warn", "1.5")
    story.when(AgreeProgram(entry=found)).then()
