"""`make fault-storm`: what it prints, and with which status it ends."""

import json

import pytest
from click.testing import CliRunner, Result

from tests.simulation.run import fault_storm


def run(*arguments: str) -> Result:
    return CliRunner().invoke(fault_storm, list(arguments))


def test_quiet_seeds_are_counted_in_one_line() -> None:
    outcome = run("--seeds", "4", "--from", "40", "--workers", "1")
    assert outcome.exit_code == 0, outcome.output
    assert "4 seeds, " in outcome.stdout
    assert "0 broke what must hold" in outcome.stdout


def test_what_broke_is_listed_with_the_command_that_shows_it() -> None:
    outcome = run("--seeds", "3", "--planted", "sends-twice", "--workers", "1")
    assert outcome.exit_code == 3
    assert "an intent and an attempt are recorded" in outcome.stdout
    assert "python -m tests.simulation.run --seed" in outcome.stdout
    assert "--planted sends-twice --story" in outcome.stdout


def test_programs_get_one_document() -> None:
    outcome = run("--seeds", "2", "--planted", "sends-twice", "--workers", "1", "--json")
    document = json.loads(outcome.stdout)
    assert (document["seeds"], document["from"], document["facilities"]) == (2, 0, 3)
    [first, *_] = document["broken"]
    assert first["breaches"][0]["invariant"]
    assert first["digest"]


def test_a_seed_is_told_whole() -> None:
    outcome = run("--seed", "40", "--story")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("seed 40: ")
    assert "  log  " in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--story",), "--seed N"),
        (("--planted", "no-such-bug"), "sends-twice"),
        (("--seeds", "0"), "--seeds"),
    ],
)
def test_wrong_usage_says_what_is_right(arguments: tuple[str, ...], told: str) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert told in outcome.stderr
