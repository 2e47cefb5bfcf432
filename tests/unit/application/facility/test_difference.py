"""The difference that an import prints for a facility: every agreed member, before and after."""

from datetime import date

from msgspec.structs import replace

from application.commands.facility import RegisterFacility
from application.facility.portfolio_entries import BmsEntry, FacilityEntry, MeterEntry
from application.operations.portfolio_difference import facility_change
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.given_when_then import given
from tests.sample_values import CONTEXT, facility_entry, zone_entry

HALL = facility_entry()
STREAM = facility_stream_id("fac-001")


def members_after(entry: FacilityEntry) -> dict[str, tuple[object, object]]:
    story = given().after(RegisterFacility(entry=HALL))
    before = story.store.load(Facility, STREAM).state
    (facility,) = story.bus.rehearse(RegisterFacility(entry=entry), CONTEXT).aggregates
    assert isinstance(facility, Facility)
    change = facility_change(facility, before)
    assert not change.is_new
    assert story.store.load(Facility, STREAM).state == before
    return {one.member: (one.before, one.after) for one in change.changes}


def test_each_changed_member_is_named_with_both_values() -> None:
    changed = replace(
        HALL,
        tz="Europe/Berlin",
        region="DE",
        in_force_from=date(2026, 8, 1),
        meters=(MeterEntry(meter_id="main"), MeterEntry(meter_id="roof")),
        bms=BmsEntry(address="http://127.0.0.1:2/bms"),
        groups=("schools",),
        dr_events_per_day=1,
    )
    found = members_after(changed)
    assert found["tz"] == ("America/New_York", "Europe/Berlin")
    assert found["region"] == (None, "DE")
    assert found["in_force_from"] == (None, "2026-08-01")
    assert found["meters"] == (["main"], ["main", "roof"])
    assert found["bms.address"] == (HALL.bms.address, "http://127.0.0.1:2/bms")
    assert found["groups"] == ([], ["schools"])
    assert found["limits.dr_events_per_day"][1] == 1
    assert "weather_cell" not in found


def test_zones_and_programs_are_compared_by_their_ids() -> None:
    changed = replace(
        HALL, zones=(zone_entry("hall", 90.0), zone_entry("lobby", 5.0)), programs=("winter-peak",)
    )
    found = members_after(changed)
    assert found["zones.hall.curtailable_kw"] == (100.0, 90.0)
    before, after = found["zones.lobby"]
    assert before is None
    assert isinstance(after, dict)
    assert after["curtailable_kw"] == 5.0
    assert {name for name in found if name.startswith("programs.")} == {
        "programs.summer-peak",
        "programs.winter-peak",
    }


def test_a_new_facility_has_no_members_before() -> None:
    (facility,) = given().bus.rehearse(RegisterFacility(entry=HALL), CONTEXT).aggregates
    assert isinstance(facility, Facility)
    change = facility_change(facility, None)
    assert (change.is_new, change.changes, change.domain_events[0]) == (True, (), "facility.registered.v1")
