"""The pages of the documentation: every link leads somewhere, and what is read every day is short."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.table_pages import heading_anchors, rows_in

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
MOST_WORDS = {"docs/guides/operator.md": 3_000}


def lost_links(page: Path) -> Iterator[str]:
    """The links of a page to files that do not exist, or to headings that their file does not have."""
    for path, anchor in LINK.findall(CODE.sub("", page.read_text())):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in heading_anchors(target.read_text())):
            yield f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(lost_links(page)) == []


def test_a_lost_link_is_detected(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n[here](#a-title) [there](#another) [away](gone.md)\n```\n[code](gone.md)\n```\n"
    )
    assert list(lost_links(page)) == ["#another", "gone.md#"]


@pytest.mark.parametrize("page", MOST_WORDS)
def test_a_page_for_every_day_is_short(page: str) -> None:
    assert len((ROOT / page).read_text().split()) <= MOST_WORDS[page]


@pytest.mark.parametrize("page", ["failure-scenarios", "onboarding", "review"])
def test_no_cell_of_a_table_is_longer_than_600_characters(page: str) -> None:
    lines = (ROOT / f"docs/{page}.md").read_text().splitlines()
    cells = [cell.strip() for line in lines if line.startswith("|") for cell in line.strip("|").split("|")]
    assert cells
    assert [cell for cell in cells if len(cell) > 600] == []


def test_the_readme_has_a_row_for_each_role_and_at_most_70_lines() -> None:
    page = (ROOT / "README.md").read_text()
    table = page.partition("## Where to read on\n")[2].partition("\n## ")[0]
    assert len(rows_in(table, ("you are", "read"))) == 6
    assert len(page.splitlines()) <= 70
