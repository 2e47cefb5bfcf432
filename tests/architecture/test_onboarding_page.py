"""What newcomers stumbled over: each stumble has a row, with what is there now and the test that shows it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.table_pages import TEST, is_run_by_ci, missing_tests, rows_in

PAGE = ROOT / "docs/onboarding.md"
HEADING = ["no.", "stumble", "what is there now", "shown by"]
TEXT = PAGE.read_text()
ROWS = rows_in(TEXT, HEADING)


def test_every_stumble_has_a_row() -> None:
    assert [row[0] for row in ROWS] == [f"S{number}" for number in range(1, 26)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:60])
def test_every_row_names_a_test_that_ci_runs(row: list[str]) -> None:
    assert len(row) == len(HEADING)
    assert all(row)
    assert is_run_by_ci(row[3])


def test_every_named_test_exists() -> None:
    text = PAGE.read_text()
    assert missing_tests(text) == []
    assert all(name.startswith("test_") for _, name in TEST.findall(text))


def test_the_readme_and_the_operator_guide_link_to_the_page() -> None:
    assert "docs/onboarding.md" in (ROOT / "README.md").read_text()
    assert "../onboarding.md" in (ROOT / "docs/guides/operator.md").read_text()


def test_every_table_of_the_documents_has_a_head() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 100
    assert [place for page in pages for place in tables_without_head(page)] == []


def tables_without_head(page: Path) -> Iterator[str]:
    """Where a table begins whose second line is not that of a head; text within code blocks is none."""
    lines = re.sub(
        r"^```.*?^```",
        lambda code: "\n" * code[0].count("\n"),
        page.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    before = ""
    for number, (line, following) in enumerate(
        zip(lines.split("\n"), [*lines.split("\n")[1:], ""], strict=True), 1
    ):
        if (
            line.startswith("|")
            and not before.startswith("|")
            and not re.fullmatch(r"\|[ :|-]*-[ :|-]*\|", following)
        ):
            yield f"{page.relative_to(ROOT)}:{number}"
        before = line
