"""`programs` and `utilities` on a real database: terms, versions, and who changed them."""

from pathlib import Path

import pytest

from tests.acceptance.cli.terminal import PORTFOLIO, Terminal, changed
from tests.servers import Database


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


def test_a_new_version_of_the_terms_is_shown_with_who_when_and_what(terminal: Terminal) -> None:
    terminal.import_portfolio()
    utility, program = PORTFOLIO["utilities"][0], PORTFOLIO["programs"][0]
    other = changed(PORTFOLIO, ("programs", 0, "minimum_duration_s"), 1_800)
    other = changed(other, ("utilities", 0, "name"), "Another Name")
    assert terminal.run("facilities", "import", terminal.file(other)).exit_code == 0

    (listed,) = [
        one
        for one in terminal.document("programs", "list", "--utility", utility["utility_id"])["programs"]
        if one["program_id"] == program["program_id"]
    ]
    assert (listed["version"], listed["terms"]["minimum_duration_s"]) == (2, 1_800)
    assert listed["agreed_by"].startswith("operator:cli/")
    history = terminal.document("programs", "show", program["program_id"])
    first, second = history["versions"]
    assert [(one["member"], one["after"]) for one in second["changes"]] == [("minimum_duration_s", 1_800)]
    then = terminal.document("programs", "show", program["program_id"], "--as-of", str(first["position"]))
    assert then["version"] == 1

    shown = terminal.run("programs", "show", program["program_id"], "--version", "1")
    assert shown.exit_code == 0
    assert "1 of 2" in shown.output
    assert "minimum_duration_s: " in shown.output
    assert program["program_id"] in terminal.run("programs", "list").output
    whole = terminal.document("utilities", "show", utility["utility_id"])
    assert whole["changes"][0]["changed"] == ["name"]
    assert [one["is_new"] for one in whole["changes"]] == [False, True]
    assert "Another Name" in terminal.run("utilities", "list").output


def test_what_is_unknown_is_named(terminal: Terminal) -> None:
    assert "no programs" in terminal.run("programs", "list").output
    assert "no utilities" in terminal.run("utilities", "list").output
    for command in (("programs", "show", "nobody"), ("utilities", "show", "nobody")):
        result = terminal.run(*command)
        assert (result.exit_code, "nobody" in result.output) == (1, True)
