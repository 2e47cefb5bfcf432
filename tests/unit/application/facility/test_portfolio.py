"""Facilities and programs: only differences are recorded, and a reason is required."""

from msgspec.structs import replace

from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import BmsEntry, MeterEntry
from domain.errors import ReasonRequired, UnknownFacility
from domain.facility import Facility
from domain.program import Program
from tests.given_when_then import fact, given
from tests.sample_values import PROGRAM, UTILITY, facility_entry, program_entry, zone_entry

HALL = facility_entry()


def test_a_new_facility_is_recorded_with_all_agreed_terms() -> None:
    outcome = given().when(RegisterFacility(entry=HALL))
    outcome.then(
        fact(Facility.Registered, facility_id="fac-001", tz="America/New_York"),
        fact(Facility.MeterInstalled, meter_id="main"),
        fact(Facility.ZoneDefined),
        fact(Facility.BmsConnected),
        fact(Facility.EnrolledInProgram, program_id=PROGRAM),
        fact(Facility.LimitsAgreed),
    )
    assert outcome.reply == 6


def test_an_unchanged_portfolio_records_nothing() -> None:
    outcome = given().after(RegisterFacility(entry=HALL)).when(RegisterFacility(entry=HALL))
    outcome.then()
    assert outcome.reply == 0


def test_only_the_differences_of_a_changed_portfolio_are_recorded() -> None:
    changed = replace(
        HALL,
        meters=(MeterEntry(meter_id="main"), MeterEntry(meter_id="roof")),
        zones=(zone_entry("hall", 90.0), zone_entry("lobby", 5.0)),
        bms=BmsEntry(address="http://127.0.0.1:2/bms"),
        programs=("winter-peak",),
        dr_events_per_day=1,
    )
    story = given().after(RegisterFacility(entry=HALL))
    story.when(RegisterFacility(entry=changed)).then(
        fact(Facility.MeterInstalled, meter_id="roof"),
        fact(Facility.ZoneDefined),
        fact(Facility.ZoneDefined),
        fact(Facility.BmsConnected),
        fact(Facility.EnrolledInProgram, program_id="winter-peak"),
        fact(Facility.WithdrawnFromProgram, program_id=PROGRAM),
        fact(Facility.LimitsAgreed),
    )
    story.when(RegisterFacility(entry=HALL)).then(
        fact(Facility.MeterRemoved, meter_id="roof"),
        fact(Facility.ZoneDefined),
        fact(Facility.ZoneRetired, zone_id="lobby"),
        fact(Facility.BmsConnected),
        fact(Facility.EnrolledInProgram, program_id=PROGRAM),
        fact(Facility.WithdrawnFromProgram, program_id="winter-peak"),
        fact(Facility.LimitsAgreed),
    )


def test_the_region_of_a_new_facility_holds_from_the_beginning() -> None:
    in_scotland = RegisterFacility(entry=replace(HALL, region="GB-SCT", zones=()))
    given().when(in_scotland).then(
        fact(Facility.Registered),
        fact(Facility.RegionAgreed, region="GB-SCT"),
        fact(Facility.MeterInstalled),
        fact(Facility.BmsConnected),
        fact(Facility.EnrolledInProgram),
        fact(Facility.LimitsAgreed),
    )
    given().after(in_scotland).when(in_scotland).then()


def test_maintenance_begins_and_ends_once() -> None:
    story = given().after(RegisterFacility(entry=HALL))
    start = StartMaintenance(facility_id="fac-001", reason="boiler")
    story.when(start).then(fact(Facility.MaintenanceStarted, reason="boiler"))
    story.when(start).then()
    end = EndMaintenance(facility_id="fac-001")
    story.when(end).then(fact(Facility.MaintenanceEnded))
    story.when(end).then()


def test_maintenance_needs_a_reason_and_a_facility() -> None:
    story = given().after(RegisterFacility(entry=HALL))
    story.when(StartMaintenance(facility_id="fac-001", reason="  ")).refused(ReasonRequired)
    story.when(StartMaintenance(facility_id="fac-404", reason="x")).refused(UnknownFacility, saying="fac-404")
    story.when(EndMaintenance(facility_id="fac-404")).refused(UnknownFacility)


def test_a_program_is_opened_with_version_1_of_its_terms() -> None:
    outcome = given().when(AgreeProgram(entry=program_entry(rank=3)))
    outcome.then(
        fact(Program.Opened, program_id=PROGRAM, utility_id=UTILITY), fact(Program.TermsAgreed, version=1)
    )
    assert outcome.reply == 1


def test_changed_terms_are_a_new_version_and_unchanged_terms_are_not() -> None:
    story = given().after(AgreeProgram(entry=program_entry()))
    story.when(AgreeProgram(entry=program_entry())).then()
    outcome = story.when(AgreeProgram(entry=program_entry(acceptable_share=0.5)))
    outcome.then(fact(Program.TermsAgreed, version=2))
    assert outcome.reply == 2
