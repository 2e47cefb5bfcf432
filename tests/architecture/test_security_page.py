"""The threat model: each row says who may try what, and names the tests of what stops them."""

import re

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.table_pages import TEST, is_run_by_ci, missing_tests, table_rows

PAGE = ROOT / "docs/security.md"
HEADING = ["who", "holds", "may try", "what stops them", "shown by"]
ROWS = table_rows(PAGE, HEADING)
FINDINGS = (
    *(f"C{number}" for number in (1, 2)),
    *(f"H{number}" for number in range(1, 11)),
    *(f"M{number}" for number in range(1, 11)),
    *(f"L{number}" for number in range(1, 13)),
)
"""Of the review of release 4cd57d2. Each stands in the row that answers it, as `(H7)`."""


def test_every_finding_of_the_review_has_a_row() -> None:
    attempts = " ".join(row[2] for row in ROWS)
    answered = set(re.findall(r"\b[CHML]\d+\b", " ".join(re.findall(r"\(([^()]*)\)", attempts))))
    assert [finding for finding in FINDINGS if finding not in answered] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2][:60])
def test_every_row_is_complete_and_names_a_test_that_ci_runs(row: list[str]) -> None:
    assert len(row) == len(HEADING)
    assert all(row)
    assert is_run_by_ci(row[4])


def test_every_named_test_exists() -> None:
    text = PAGE.read_text()
    assert missing_tests(text) == []
    assert all(name.startswith("test_") for _, name in TEST.findall(text))


def test_the_readme_and_the_operator_guide_link_to_the_page() -> None:
    assert "docs/security.md" in (ROOT / "README.md").read_text()
    assert "../security.md" in (ROOT / "docs/guides/operator.md").read_text()
