"""The operator's groups of facilities: labels in the portfolio, lists by them, and totals of each."""

from application.commands.facility import (
    DeactivateFacility,
    OptOutFacility,
    RegisterFacility,
    StartMaintenance,
)
from application.facility.portfolio_entries import FacilityEntry
from domain.facility import Facility
from projections.facility_groups import GroupTotals, group_totals
from projections.portfolio.projection import KEY
from projections.queries.views import all_rows
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario, fact, given
from tests.sample_values import facility_entry, judge, portfolio_commands


def entry(facility_id: str, *groups: str) -> FacilityEntry:
    return facility_entry(facility_id, groups=groups)


def models(story: Scenario) -> FakeReadModels:
    return FakeReadModels(story.store.read_after(0, 1_000))


def totals(story: Scenario) -> dict[str, GroupTotals]:
    return {one.group: one for one in group_totals(all_rows(models(story).facilities))}


def test_groups_are_recorded_in_order_and_only_when_they_change() -> None:
    story = given().after(RegisterFacility(entry=entry("fac-001")))
    grouped = RegisterFacility(entry=entry("fac-001", "schools", "north"))
    story.when(grouped).then(fact(Facility.GroupsAssigned, groups=("north", "schools")))
    story.when(RegisterFacility(entry=entry("fac-001", "north", "schools"))).then()
    story.when(RegisterFacility(entry=entry("fac-001"))).then(fact(Facility.GroupsAssigned, groups=()))


def test_facilities_are_listed_by_group() -> None:
    story = given().after(
        *portfolio_commands(entry("fac-001", "north", "schools"), entry("fac-002", "south"))
    )
    listed = models(story).facilities.listed(filters={"groups": "north"}).rows
    assert [row.facility_id for row in listed] == ["fac-001"]


def test_a_facility_counts_in_each_of_its_groups() -> None:
    story = given().after(
        *portfolio_commands(entry("fac-001", "north", "schools"), entry("fac-002", "north"))
    )
    assert {name: one.declared_kw for name, one in totals(story).items()} == {
        "north": 200.0,
        "schools": 100.0,
    }


def test_the_totals_of_a_group_of_all_facilities_are_those_of_the_portfolio() -> None:
    ids = [f"fac-00{number}" for number in range(1, 7)]
    story = given().after(*portfolio_commands(*(entry(facility_id, "all") for facility_id in ids)))
    story.after(
        judge(facility_ids=("fac-001", "fac-002"), target_kw=80.0),
        OptOutFacility(facility_id="fac-003", reason="exams"),
        StartMaintenance(facility_id="fac-004", reason="boiler"),
        DeactivateFacility(facility_id="fac-005", reason="sold"),
    )
    portfolio = models(story).portfolio.get(KEY)
    assert portfolio is not None
    found = totals(story)["all"]
    assert found.facilities == portfolio.registered_facilities == 6
    assert (found.available_kw, found.reserved_kw, found.declared_kw) == (100.0, 200.0, 500.0)
    for name in GroupTotals.__struct_fields__:
        if name not in {"group", "facilities"}:
            assert getattr(found, name) == getattr(portfolio, name)
