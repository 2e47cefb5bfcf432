"""A utility reads its own programs, and learns nothing of those of others, nor who of ours recorded its own."""

from collections.abc import Iterator

import pytest

from application.commands.program import AgreeProgram
from tests.sample_values import CONTEXT, PROGRAM, facility_entry, program_entry
from tests.tenant_system import OTHER, OTHER_PROGRAM, OWN, TenantSystem


@pytest.fixture(scope="module")
def system() -> Iterator[TenantSystem]:
    own, other = program_entry(), program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER)
    opened = TenantSystem(entries=(facility_entry("fac-001"),), programs=(own, other))
    opened.do(AgreeProgram(entry=program_entry(program_id=OTHER_PROGRAM, utility_id=OTHER, rank=7)))
    with opened as system:
        yield system


@pytest.mark.parametrize(("utility", "own"), [(OWN, PROGRAM), (OTHER, OTHER_PROGRAM)])
def test_the_list_has_only_programs_of_the_utility(system: TenantSystem, utility: str, own: str) -> None:
    listed = system.get(utility, "/api/programs").json()

    assert [one["program_id"] for one in listed["items"]] == [own]
    assert listed["next_cursor"] is None


@pytest.mark.parametrize(("utility", "foreign"), [(OWN, OTHER_PROGRAM), (OTHER, PROGRAM)])
def test_a_program_of_another_utility_is_answered_like_one_that_nobody_has(
    system: TenantSystem, utility: str, foreign: str
) -> None:
    theirs = system.get(utility, f"/api/programs/{foreign}")
    nobodys = system.get(utility, "/api/programs/nobody")

    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json()["detail"] == nobodys.json()["detail"]
    assert (
        system.get(utility, f"/api/programs?utility={OWN if utility == OTHER else OTHER}").json()["items"]
        == []
    )


def test_a_past_list_is_as_closed_as_the_current_one(system: TenantSystem) -> None:
    head = system.log.head()

    assert [one["program_id"] for one in system.get(OWN, f"/api/programs?as_of={head}").json()["items"]] == [
        PROGRAM
    ]
    assert system.get(OWN, f"/api/programs/{OTHER_PROGRAM}?as_of={head}").status_code == 404


def test_a_utility_does_not_learn_who_recorded_its_terms_nor_where_in_the_log(system: TenantSystem) -> None:
    answers = [system.get(OWN, path) for path in ("/api/programs", f"/api/programs/{PROGRAM}")]

    assert answers[0].json()["items"][0]["agreed_by"] is None
    assert {one["agreed_by"] for one in answers[1].json()["versions"]} == {None}
    assert {one["position"] for one in answers[1].json()["versions"]} == {None}
    assert not any(CONTEXT.actor in answer.text for answer in answers)
