"""Decision records: complete, listed, and each confirmed by tests that exist."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

RECORDS = sorted((ROOT / "docs/adr").glob("0*.md"))
INDEX = (ROOT / "docs/adr/README.md").read_text()
LISTED = re.compile(r"^\| \[\d{4}\]\(([\w-]+\.md)\) \| (.+?) \| .+ \|$", re.MULTILINE)
MERGED = re.compile(r"^\| (\d{4}) \| \[\d{4}\]\(([\w-]+\.md)\) \|$", re.MULTILINE)
SECTIONS = ["Context", "Options", "Decision", "Consequences", "Confirmation"]


def test_every_number_is_a_record_or_merged_into_one() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    merged = dict(MERGED.findall(INDEX))
    assert sorted([*numbers, *merged]) == [f"{number:04}" for number in range(1, int(numbers[-1]) + 1)]
    assert {name[:4] for name in merged.values()} <= set(numbers)


def test_the_index_has_every_record_with_its_title() -> None:
    titles = {record.name: record.read_text().partition("\n")[0].partition(": ")[2] for record in RECORDS}
    assert dict(LISTED.findall(INDEX)) == titles


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_is_confirmed_by_tests_that_exist(record: Path) -> None:
    content = record.read_text()
    assert re.findall(r"^## (.+)$", content, re.MULTILINE) == SECTIONS
    named = re.findall(r"`(tests/[\w/]+\.py)`", content.partition("## Confirmation")[2])
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
