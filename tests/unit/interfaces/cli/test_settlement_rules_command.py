"""`gridproof settlement rules check`: plain words, a worked example, and what is wrong."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from interfaces.cli.settlement.commands import settlement_group
from tests.settlement_cases import PROPORTIONAL

PROGRAMMES = files("domain.settlement") / "data" / "settlement_rules.json"
EXAMPLES = {
    ("coned-csrp-reservation", "event"): ["energy 215.00"],
    ("coned-csrp-reservation", "voluntary-unplanned"): ["energy 2150.00"],
    ("pjm-capacity-performance", "event"): ["energy 27.08", "penalty -195.50"],
    ("pjm-capacity-performance", "economic"): ["energy 25.20"],
    ("leap-partner", "voluntary"): ["energy 360.00", "energy 80.00"],
    ("consumers-energy-ci", "event"): [],
    ("pge-cbp", "event"): ["capacity 31.25", "energy 27.08"],
    ("bip-firm-service-level", "event"): ["penalty 0.00", "penalty -30.00"],
}
"""As the table of docs/settlement.md."""
MONTHS = {"coned-csrp-reservation": "1944.00", "pjm-capacity-performance": "1255.13", "psegli-csrp": "880.00"}
RULE: dict[str, Any] = {
    "schema": "settlement-rule/1",
    "currency": "EUR",
    "capacity": {"rate": "4.00", "unit": "kw-event", "tiers": PROPORTIONAL},
    "penalty": {"rate": "0.75", "max_per_event": "100.00"},
    "kinds": {"test": {"capacity": None, "results": {"failed": "excused"}}},
}


def check(tmp_path: Path, document: Any, *options: str) -> Result:
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(document))
    return CliRunner().invoke(settlement_group, ["rules", "check", str(path), *options])


@pytest.fixture(scope="module")
def programmes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    ran = check(tmp_path_factory.mktemp("rules"), json.loads(PROGRAMMES.read_text()), "--json")
    assert ran.exit_code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["valid"] is True
    return {one["program"]: one for one in document["rules"]}


def test_the_rules_of_all_eleven_programmes_are_right(programmes: dict[str, Any]) -> None:
    assert len(programmes) == 11
    for one in programmes.values():
        assert len(one["words"]) >= 12
        assert all(words.endswith(".") for words in one["words"])


@pytest.mark.parametrize(("name", "kind"), EXAMPLES)
def test_the_example_is_the_table_of_the_rule(programmes: dict[str, Any], name: str, kind: str) -> None:
    (document,) = (one["settlement"] for one in programmes[name]["kinds"] if one["kind"] == kind)
    lines = [f"{line['component']} {line['amount']}" for line in document["lines"]]
    assert lines == EXAMPLES[name, kind]


@pytest.mark.parametrize("name", MONTHS)
def test_the_month_of_the_example_is_the_table_of_the_rule(programmes: dict[str, Any], name: str) -> None:
    assert programmes[name]["month"]["total"] == MONTHS[name]


def test_a_rule_is_said_in_plain_words(tmp_path: Path) -> None:
    ran = check(tmp_path, RULE)
    assert ran.exit_code == 0, ran.stderr
    for words in (
        "Amounts are in EUR with 2 decimal places, rounded halves away from zero; above 0 the utility owes them.",
        "A settlement interval is one hour long.",
        "Capacity: 4.00 EUR for each committed kW and DR event, times a factor by the ratio r: from 0 on r.",
        "Penalty: 0.75 EUR for each kWh short of what was committed, at most 100.00 EUR a DR event.",
        "For DR events of kind test, other members hold: results, capacity.",
        "test: Nothing is paid for capacity.",
        "test: A facility that opted out or failed is left out.",
        "4.00 x 100.000 kW x 0.9000",
    ):
        assert words in ran.stdout


WRONG: list[tuple[Any, str]] = [
    (RULE | {"currency": "euro"}, "currency: "),
    (RULE | {"share": "2"}, "share: share_range: must be 0 to 1"),
    (RULE | {"capacity": {"rate": "1", "unit": "kw-year"}}, "capacity.unit: "),
    (RULE | {"penalty": {"rate": 0.75}}, "penalty.rate: "),
    (RULE | {"penatly": {}}, "penatly: there is no such field"),
    (RULE | {"kinds": {"test": {"share": "-1"}}}, "kinds.test.share: share_range"),
    ({"currency": "EUR"}, "schema: is missing; write settlement-rule/1"),
    ({"program_id": "a", "settlement": RULE | {"level": "site"}}, "settlement.level: "),
    (
        {"a": {"settlement": RULE}, "b": {"settlement": {"schema": "settlement-rule/1"}}},
        "b.settlement.currency: ",
    ),
    ([], "no JSON object"),
]


@pytest.mark.parametrize(("document", "named"), WRONG)
def test_what_is_wrong_is_named_with_the_path_of_its_member(
    tmp_path: Path, document: Any, named: str
) -> None:
    ran = check(tmp_path, document, "--json")
    assert ran.exit_code == 3
    found = json.loads(ran.stdout)
    assert found["valid"] is False
    assert any(named in problem for problem in found["problems"]), found["problems"]
    in_words = check(tmp_path, document)
    assert (in_words.exit_code, in_words.stdout) == (3, "")
    assert named in in_words.stderr


@pytest.mark.parametrize("interval_s", [60, 100, 900, 5400, 86_400])
def test_a_rule_of_any_interval_has_an_example(tmp_path: Path, interval_s: int) -> None:
    ran = check(tmp_path, RULE | {"interval_s": interval_s, "energy": {"price": "event"}})
    assert ran.exit_code == 0, ran.stderr
