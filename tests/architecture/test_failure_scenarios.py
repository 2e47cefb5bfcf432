"""The table of failure scenarios: each row names its tests, and everything that it names exists."""

import re
from pathlib import Path

import pytest

from application.operations.alert_catalogue import ALERTS
from tests.architecture.source_tree import ROOT
from tests.architecture.table_pages import TEST, is_run_by_ci, left_out_of_ci, missing_tests, table_rows

PAGE = ROOT / "docs/failure-scenarios.md"
HEADING = ["scenario", "what happens", "operator sees", "shown by"]
RUNBOOK = re.compile(r"\[(\w+)\]\(runbooks/(\w+)\.md\)")
NOT_TESTED = "not tested"


LEAST = (
    # the building
    "hangs",
    "answers late",
    "does the work and loses the answer",
    "refuses a prepare or commit",
    "rate-limits",
    # our processes and the servers behind them
    "dispatch dies before the call",
    "dispatch dies after the call",
    "dispatch dies after the record",
    "the database dies",
    "the database fails over",
    "the broker dies",
    # the utility, the forecast, the facility
    "repeats itself",
    "modifies",
    "cancels",
    "goes away",
    "degraded",
    "opts out before the start",
    "opts out while curtailed",
)
"""The beginnings of rows that the table must have."""


ROWS = table_rows(PAGE, HEADING)


def test_there_is_a_table() -> None:
    assert len(ROWS) > 40


@pytest.mark.parametrize("scenario", LEAST)
def test_every_required_scenario_has_a_row(scenario: str) -> None:
    assert [row[0] for row in ROWS if row[0].startswith(scenario)] != []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_is_complete_and_names_a_test(row: list[str]) -> None:
    assert len(row) == len(HEADING)
    assert all(row)
    assert TEST.search(row[3]) or row[3] == NOT_TESTED


def test_every_named_test_exists() -> None:
    text = PAGE.read_text()
    assert missing_tests(text) == []
    assert all(name.startswith("test_") for _, name in TEST.findall(text))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_no_scenario_has_only_tests_that_ci_leaves_out(row: list[str]) -> None:
    """`make test` and CI leave out tests with these markers."""
    assert row[3] == NOT_TESTED or is_run_by_ci(row[3])


def test_functions_left_out_of_ci_are_detected(tmp_path: Path) -> None:
    whole = tmp_path / "test_whole.py"
    whole.write_text("pytestmark = pytest.mark.slow\ndef test_of_hours(): ...\n")
    assert left_out_of_ci(str(whole)) == {"test_of_hours"}
    in_each_phase = left_out_of_ci("tests/chaos/test_killed_in_each_phase.py")
    assert "test_killing_one_process_in_every_phase_does_not_change_the_outcome" in in_each_phase
    assert "test_killing_another_process_in_each_phase_does_not_change_the_outcome" not in in_each_phase


def test_every_named_alert_exists_and_links_to_its_runbook() -> None:
    named = RUNBOOK.findall(PAGE.read_text())
    assert [pair for pair in named if pair[0] != pair[1] or pair[0] not in ALERTS] == []
    assert [stem for _, stem in named if not (ROOT / f"docs/runbooks/{stem}.md").is_file()] == []


def test_every_alert_is_seen_in_a_scenario() -> None:
    assert ALERTS.keys() - {name for row in ROWS for name, _ in RUNBOOK.findall(row[2])} == set()


def test_the_readme_and_the_operator_guide_link_to_the_page() -> None:
    assert "docs/failure-scenarios.md" in (ROOT / "README.md").read_text()
    assert "../failure-scenarios.md" in (ROOT / "docs/guides/operator.md").read_text()
