"""`make fault-storm`: its output and its exit status."""

import json

import pytest
from click.testing import CliRunner, Result

from tests.simulation.run import fault_storm


def run(*arguments: str) -> Result:
    return CliRunner().invoke(fault_storm, list(arguments))


def test_seeds_without_a_breach_are_counted_in_one_line() -> None:
    outcome = run("--seeds", "4", "--from", "40", "--workers", "1")
    assert outcome.exit_code == 0, outcome.output
    assert "4 seeds, " in outcome.stdout
    assert "0 broke an invariant" in outcome.stdout


def test_broken_seeds_are_listed_with_the_command_that_reproduces_them() -> None:
    outcome = run("--seeds", "3", "--planted", "sends-twice", "--workers", "1")
    assert outcome.exit_code == 3
    assert "seed 0 broke: " in outcome.stderr
    assert "an intent and an attempt are recorded" in outcome.stdout
    assert "python -m tests.simulation.run --seed" in outcome.stdout
    assert "--planted sends-twice --story" in outcome.stdout


def test_the_json_output_is_one_document() -> None:
    outcome = run("--seeds", "2", "--planted", "sends-twice", "--workers", "1", "--json")
    document = json.loads(outcome.stdout)
    assert (document["seeds"], document["from"], document["facilities"]) == (2, 0, 3)
    [first, *_] = document["broken"]
    assert first["breaches"][0]["invariant"]
    assert first["digest"]


def test_a_seed_is_printed_with_its_trace() -> None:
    outcome = run("--seed", "40", "--story")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("seed 40: ")
    assert "  log  " in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--story",), "--seed N"),
        (("--planted", "no-such-bug"), "sends-twice"),
        (("--seeds", "0"), "--seeds"),
    ],
)
def test_a_usage_error_names_the_valid_arguments(arguments: tuple[str, ...], expected: str) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert expected in outcome.stderr
