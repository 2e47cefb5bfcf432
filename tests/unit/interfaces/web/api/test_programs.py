"""`/api/programs`: the terms in force, and every version with who agreed it, when, and what it changed."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import ProgramEntry
from application.facility.program_contract import terms_of_entry
from domain.program import Terms
from projections.audit.stream_log import StreamEntry
from tests.fakes.stream_log import FakeStreamLog
from tests.given_when_then import given
from tests.sample_values import CONTEXT, NOW, program_entry
from tests.unit.interfaces.web.edge import Edge, problem_of

FIRST = program_entry(program_id="summer-peak", utility_id="city-power")
SECOND = replace(FIRST, minimum_duration_s=1_800, forecast_guardrail="warn")
OF_OTHERS = program_entry(program_id="winter-peak", utility_id="north-power")


@pytest.fixture(scope="module")
def edge() -> Edge:
    scenario = given().at(NOW).after(AgreeProgram(entry=FIRST), AgreeProgram(entry=OF_OTHERS))
    scenario.at(NOW + timedelta(hours=1)).after(AgreeProgram(entry=SECOND))
    entries = scenario.store.read_after(0, 1_000)
    log = FakeStreamLog([StreamEntry(entry.position, entry.domain_event) for entry in entries])
    return Edge(others={"stream_log": log})


def fetched(edge: Edge, path: str, **key: Any) -> Any:
    with edge.client() as client:
        return client.get(f"/api/programs{path}", headers=edge.key(**(key or {"role": "operator"})))


def test_programs_are_listed_with_the_terms_in_force(edge: Edge) -> None:
    first, second = fetched(edge, "").json()["items"]

    assert (first["program_id"], second["program_id"]) == ("summer-peak", "winter-peak")
    assert (first["version"], first["terms"]["minimum_duration_s"]) == (2, 1_800)
    assert first["agreed_by"] == CONTEXT.actor
    assert first["agreed_at"] == (NOW + timedelta(hours=1)).isoformat().replace("+00:00", "Z")


def test_the_list_has_pages_and_a_filter(edge: Edge) -> None:
    page = fetched(edge, "?limit=1").json()
    assert [one["program_id"] for one in page["items"]] == ["summer-peak"]
    following = fetched(edge, f"?limit=1&cursor={page['next_cursor']}").json()
    assert [one["program_id"] for one in following["items"]] == ["winter-peak"]
    filtered = fetched(edge, "?utility=north-power").json()["items"]
    assert [one["program_id"] for one in filtered] == ["winter-peak"]


def test_a_program_has_every_version_with_what_it_changed(edge: Edge) -> None:
    program = fetched(edge, "/summer-peak").json()

    first, second = program["versions"]
    assert (program["version"], first["version"], second["version"]) == (2, 1, 2)
    assert first["changes"] == []
    assert {(one["member"], one["before"], one["after"]) for one in second["changes"]} == {
        ("minimum_duration_s", FIRST.minimum_duration_s, 1_800),
        ("forecast_guardrail", "block", "warn"),
    }
    assert second["position"] > first["position"]
    assert first["terms"]["minimum_duration_s"] == FIRST.minimum_duration_s


def test_the_versions_of_a_program_have_pages(edge: Edge) -> None:
    whole = fetched(edge, "/summer-peak").json()
    newest = fetched(edge, "/summer-peak?limit=1").json()
    older = fetched(edge, f"/summer-peak?limit=1&before={newest['earlier_before']}").json()

    assert [*older["versions"], *newest["versions"]] == whole["versions"]
    assert (newest["earlier_before"], older["earlier_before"], whole["earlier_before"]) == (2, None, None)
    assert fetched(edge, "/summer-peak?before=1").json()["versions"] == []


def test_the_terms_of_before_are_shown_as_of_a_moment(edge: Edge) -> None:
    then = f"{NOW + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"

    program = fetched(edge, f"/summer-peak?as_of={then}").json()

    assert (program["version"], len(program["versions"])) == (1, 1)
    assert fetched(edge, f"?as_of={then}").json()["items"][0]["version"] == 1


def test_the_terms_have_the_fields_of_an_entry_of_the_portfolio_file(edge: Edge) -> None:
    """So a form may send them back."""
    shown = fetched(edge, "").json()["items"][0]
    entry = msgspec.convert(
        {**shown["terms"], "program_id": shown["program_id"], "utility_id": shown["utility_id"]}, ProgramEntry
    )

    assert terms_of_entry(entry) == msgspec.convert(shown["terms"], Terms) == terms_of_entry(SECOND)


def test_an_unknown_program_is_a_404(edge: Edge) -> None:
    assert problem_of(fetched(edge, "/nobody"))["status"] == 404
