"""Import of a portfolio file over HTTP: the difference first, then the import, each as on the command line."""

import json
from itertools import pairwise
from typing import Any

import pytest

from application.commands.facility import RegisterFacility
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from interfaces.web.portfolio_sources import PortfolioSources
from tests.fakes.operations.act_log import FakeActLog
from tests.given_when_then import Scenario, given
from tests.portfolio_target import portfolio_target
from tests.unit.interfaces.web.edge import Edge, problem_of

FILE = """
utilities: [{utility_id: city-power, name: City Power}]
programs: [{program_id: summer-peak, utility_id: city-power}]
facilities:
  - facility_id: fac-001
    tz: America/Los_Angeles
    meters: [{meter_id: main}]
    zones: [{zone_id: zone-1, curtailable_kw: 40}]
    bms: {address: "https://bms.example/fac-001"}
    programs: [summer-peak]
"""

ALIASES = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghijk")
)


def edge_over(story: Scenario) -> tuple[Edge, FakeActLog]:
    target = portfolio_target(story)
    assert isinstance(target.acts, FakeActLog)
    sources = PortfolioSources(utilities=target.utilities.listed, target=target)
    return Edge(others={"portfolio": sources, "bus": story.bus}), target.acts


def send(edge: Edge, role: Any = "admin", **body: Any) -> Any:
    key = edge.key(role)
    with edge.client() as client:
        return client.post("/api/portfolio/imports", json={"file": FILE, **body}, headers=key)


def test_a_dry_run_shows_the_difference_and_records_nothing() -> None:
    story = given()
    edge, acts = edge_over(story)
    report = send(edge, dry_run=True).json()
    assert (report["dry_run"], report["facilities"]) == (True, 1)
    assert [one["facility_id"] for one in report["changes"]["facilities"]] == ["fac-001"]
    assert report["changes"]["programs"][0]["is_new"]
    assert (story.store.head(), acts.recorded) == (0, {})


def test_an_import_records_what_the_dry_run_showed_and_a_second_one_nothing() -> None:
    story = given()
    edge, acts = edge_over(story)
    foreseen = send(edge, dry_run=True).json()
    done = send(edge).json()
    assert done["domain_events"] == foreseen["domain_events"] > 0
    assert (
        story.store.load(Facility, facility_stream_id("fac-001")).state.zones["zone-1"].curtailable_kw == 40
    )
    assert [*acts.recorded.values()][-1].actor.startswith("admin:")
    assert send(edge).json()["domain_events"] == 0


DATED = "facilities:\n- facility_id: fac-007\n  holidays: [{}]"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("facilities: [{facility_id: X}]", "facilities[0].facility_id"),
        ("programs: [{program_id: a, utility_id: nobody}]", "programs[0].utility_id: there is no utility nobody"),
        (DATED.format("2026-02-30"), "facilities[0].holidays[0]: 2026-02-30 in line 3 is no date or number"),
        (DATED.format("2026-02-30"), "(fac-007)"),
        (DATED.format("9" * 4_301), "in line 3 is no date or number"),
        (DATED.format("9" * 4_000), "facilities[0].holidays"),
        ("utilities: []\nfacilities: []\nutilities: []", "utilities: stands there twice, in line 3 again"),
        ("facilities: [{facility_id: fac-007, tz: Europe/Lodnon}]", "(fac-007)"),
        ("{", "neither YAML nor JSON"),
        ("[" * 100_000, "it"),
        (ALIASES, "it stands for over 100000 values"),
        ("a: &a [*a]", "over 100000 values"),
        ("utilities: [" + "{utility_id: a}," * 201 + "]", "it has 201 entries, at most 200 here"),
    ],
    ids=[
        *("field", "reference", "date", "id", "digits", "number", "doubled", "missing"),
        *("syntax", "deep", "aliases", "recursive", "entries"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_or_too_large_is_refused_whole(file: str, said: str) -> None:
    story = given()
    edge, acts = edge_over(story)
    document = problem_of(send(edge, file=file))
    assert document["status"] == 400
    assert any(said in reason["detail"] for reason in document["reasons"])
    assert (story.store.head(), acts.recorded) == (0, {})


@pytest.mark.parametrize("role", ["operator", "auditor", "dashboard"])
def test_a_file_may_name_credentials_so_only_an_admin_imports_one(role: Any) -> None:
    edge, _ = edge_over(given())
    assert problem_of(send(edge, role))["status"] == 403


@pytest.mark.parametrize("dry_run", [0, 1, "false", "0"])
def test_what_is_no_boolean_is_refused_and_not_guessed(dry_run: Any) -> None:
    """A dry run that was meant must not be an import."""
    story = given()
    edge, acts = edge_over(story)
    document = problem_of(send(edge, dry_run=dry_run))
    assert (document["status"], [one["field"] for one in document["reasons"]]) == (400, ["dry_run"])
    assert (story.store.head(), acts.recorded) == (0, {})


def lines_of(edge: Edge, file: str = FILE) -> tuple[int, list[Any]]:
    key = edge.key("admin")
    with edge.client() as client:
        answer = client.post("/api/portfolio/imports/progress", json={"file": file}, headers=key)
    return answer.status_code, [json.loads(line) for line in answer.text.splitlines()]


def test_an_import_says_after_each_entry_how_many_are_done_of_all() -> None:
    status, lines = lines_of(edge_over(given())[0])
    assert status == 200
    assert lines[:-1] == [{"done": done, "of": 3} for done in (1, 2, 3)]
    assert (lines[-1]["report"]["facilities"], lines[-1]["report"]["dry_run"]) == (1, False)


def test_what_is_refused_before_the_first_entry_is_an_ordinary_problem() -> None:
    status, [problem] = lines_of(edge_over(given())[0], "facilities: [{facility_id: X}]")
    assert (status, problem["type"]) == (400, "/problems/invalid-request")


def test_an_import_that_fails_midway_ends_with_the_problem_and_can_be_repeated() -> None:
    story = given()
    edge, _ = edge_over(story)
    bus, register = story.bus, story.bus.handle

    def fails(command: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(command, RegisterFacility):
            raise EventStoreUnavailable("gone")
        return register(command, *args, **kwargs)

    bus.handle = fails  # type: ignore[method-assign]
    status, lines = lines_of(edge)
    assert (status, lines[:-1]) == (200, [{"done": 1, "of": 3}, {"done": 2, "of": 3}])
    assert lines[-1]["problem"]["type"] == "/problems/unavailable"
    bus.handle = register  # type: ignore[method-assign]
    assert lines_of(edge)[1][-1]["report"]["facilities"] == 1
