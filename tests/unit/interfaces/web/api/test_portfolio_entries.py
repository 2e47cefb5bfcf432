"""Entries of the portfolio over HTTP: what a form reads, what it may refer to, and what is refused by field."""

from typing import Any

import pytest
from msgspec.structs import replace

from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import BmsEntry, UtilityEntry
from domain.facility import Facility, FacilityState
from domain.identifiers import facility_stream_id, program_stream_id
from domain.program import Program, ProgramState
from interfaces.web.portfolio_sources import PortfolioSources
from tests.given_when_then import given
from tests.sample_values import PROGRAM, facility_entry, program_entry
from tests.unit.interfaces.web.api.test_facility_registration import ENTRY, ordering
from tests.unit.interfaces.web.edge import Edge, problem_of

WITH_CREDENTIALS = replace(
    facility_entry("fac-002"),
    bms=BmsEntry(address="https://bms.example/2", credentials_ref="env:GRIDPROOF_SECRET_BMS_NORTH"),
)
STORY = given().after(
    AgreeProgram(entry=program_entry(rank=4)),
    RegisterFacility(entry=facility_entry("fac-001", region="US-CA")),
    RegisterFacility(entry=WITH_CREDENTIALS),
)
PROGRAM_ENTRY = {"program_id": "winter-peak", "utility_id": "city-power", "rate_per_kw": "1.5"}


def facility(facility_id: str) -> FacilityState | None:
    stream_id = facility_stream_id(facility_id)
    found = STORY.store.load_many(Facility, [stream_id])
    return found[stream_id].state if stream_id in found else None


def program(program_id: str) -> ProgramState | None:
    stream_id = program_stream_id(program_id)
    found = STORY.store.load_many(Program, [stream_id])
    return found[stream_id].state if stream_id in found else None


def edge_over_the_portfolio() -> Edge:
    """Commands are recorded, not executed; a program of them gets version 3."""
    utilities = [
        UtilityEntry(utility_id=one, name=name, webhook_secret_ref="env:GRIDPROOF_SECRET_WEBHOOK_X")
        for one, name in (("city-power", "City Power"), ("north-power", "North"))
    ]
    sources = PortfolioSources(
        facility=facility,
        utilities=lambda *, after="", limit=None: [one for one in utilities if one.utility_id > after][
            :limit
        ],
        secret_references=lambda: ("env:GRIDPROOF_SECRET_BMS_NORTH",),
    )
    edge = Edge(others={"portfolio": sources, "program": program})
    edge.commands.answer = lambda command: 3
    return edge


def test_the_recorded_entry_of_a_facility_can_be_posted_as_it_is() -> None:
    edge = edge_over_the_portfolio()
    edge.others["known_programs"] = dict.fromkeys
    key = edge.key("admin")
    with edge.client() as client:
        entry = client.get("/api/portfolio/facilities/fac-001", headers=key).json()
        entry["bms"]["address"] = "https://bms.example/1"  # that of the sample is on this machine
        assert (entry["region"], entry["programs"]) == (
            "US-CA",
            [{"program_id": PROGRAM, "kw": None, "level_kw": None}],
        )
        assert client.post("/api/facilities", json=entry, headers=key).status_code == 200
        assert client.get("/api/portfolio/facilities/fac-9", headers=key).status_code == 404


def test_the_reference_to_credentials_is_sent_to_admins_only() -> None:
    """As in `audit replay`: who may not set it does not learn where a building's password is."""
    edge = edge_over_the_portfolio()
    admin, operator = edge.key("admin"), edge.key("operator")
    path = "/api/portfolio/facilities/fac-002"
    with edge.client() as client:
        whole, reduced = (client.get(path, headers=key).json() for key in (admin, operator))
    assert whole["bms"]["credentials_ref"] == "env:GRIDPROOF_SECRET_BMS_NORTH"
    assert reduced == whole | {"bms": whole["bms"] | {"credentials_ref": None}}


def test_the_recorded_entry_of_a_program_has_its_newest_terms() -> None:
    edge = edge_over_the_portfolio()
    key = edge.key("operator")
    with edge.client() as client:
        entry = client.get(f"/api/portfolio/programs/{PROGRAM}", headers=key).json()
        assert (entry["rank"], entry["baseline"]["method"]) == (4, "caiso-10-in-10")
        assert problem_of(client.get("/api/portfolio/programs/none", headers=key))["status"] == 404


def test_a_program_is_agreed_with_the_entry_of_a_portfolio_file() -> None:
    edge = edge_over_the_portfolio()
    key = edge.key("operator")
    with edge.client() as client:
        response = client.post("/api/programs", json=PROGRAM_ENTRY, headers=key)
    assert response.json() == {"program_id": "winter-peak", "version": 3}
    assert response.headers["location"] == "/api/programs/winter-peak"
    ((command, context, _),) = edge.commands.given
    assert isinstance(command, AgreeProgram)
    assert (command.entry.utility_id, command.entry.rate_per_kw) == ("city-power", "1.5")
    assert context.actor.startswith("operator:")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"utility_id": "nobody"}, ["utility_id"]),
        ({"maximum_duration_s": 600}, ["maximum_duration_s", "maximum_duration_s"]),
        ({"baseline": {"method": "none"}}, ["baseline.method"]),
        ({"rank": "x", "acceptable_share": 2, "other": 1}, ["other", "rank", "acceptable_share"]),
    ],
)
def test_every_wrong_field_of_a_program_is_refused_by_its_name(
    changes: dict[str, Any], fields: list[str]
) -> None:
    edge = edge_over_the_portfolio()
    key = edge.key("operator")
    with edge.client() as client:
        document = problem_of(client.post("/api/programs", json=PROGRAM_ENTRY | changes, headers=key))
    assert (document["status"], [reason["field"] for reason in document["reasons"]]) == (400, fields)
    assert edge.commands.given == []


def test_every_field_of_a_facility_that_does_not_match_the_schema_is_named_at_once() -> None:
    edge = ordering()
    wrong = ENTRY | {"facility_id": "FAC", "zones": [{"zone_id": "z", "curtailable_kw": "x"}], "unknown": 1}
    del wrong["meters"]
    key = edge.key("operator")
    with edge.client() as client:
        document = problem_of(client.post("/api/facilities", json=wrong, headers=key))
    fields = [reason["field"] for reason in document["reasons"]]
    assert fields == ["unknown", "facility_id", "meters", "zones[0].curtailable_kw"]


def test_utilities_and_references_are_listed_without_values() -> None:
    edge = edge_over_the_portfolio()
    key, admin = edge.key("operator"), edge.key("admin")
    with edge.client() as client:
        utilities = client.get("/api/portfolio/utilities", headers=key)
        references = client.get("/api/portfolio/secret-references", headers=admin)
        assert client.get("/api/portfolio/secret-references", headers=key).status_code == 403
        first = client.get("/api/portfolio/utilities?limit=1", headers=key).json()
        second = client.get(
            f"/api/portfolio/utilities?limit=1&cursor={first['next_cursor']}", headers=key
        ).json()
    assert utilities.json()["items"] == [
        {"utility_id": "city-power", "name": "City Power"},
        {"utility_id": "north-power", "name": "North"},
    ]
    assert [*first["items"], *second["items"]] == utilities.json()["items"]
    assert (second["next_cursor"], utilities.json()["next_cursor"]) == (None, None)
    assert references.json()["items"] == [{"reference": "env:GRIDPROOF_SECRET_BMS_NORTH"}]
